"""Read a run folder for analysis: the trained network, and images of its domains."""

import dataclasses
from pathlib import Path

import torch

from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import (
    Images,
    LabelledImages,
    UnlabelledImages,
    load_sample,
    match_classes,
)
from dacbn.models import Network, PretrainedWeightsError
from dacbn.training import (
    RunFolderError,
    RunInfo,
    build_network,
    choose_device,
    is_source_free,
    load_weights,
    num_sources,
    read_run_info,
    reading_options,
)
from dacbn.training.run_info import IN_MEMORY

DOMAINS = ("source", "target")


def open_run(run: Path, data_root: Path | None = None) -> RunInfo:
    """Read the settings of a run.

    Args:
        run: a run folder.
        data_root: folder of the named datasets, if it has moved since the training.

    Raises:
        RunFolderError: there is no run.
    """
    info = read_run_info(run)
    if data_root is None:
        return info
    return dataclasses.replace(info, config=dataclasses.replace(info.config, data_root=data_root))


def load_network(run: Path, info: RunInfo, device: str) -> Network:
    """Load the trained network of a run, in evaluation mode.

    Raises:
        RunFolderError: the weights are missing or damaged.
    """
    network = build_network(info.config, len(info.classes))
    load_weights(run, network)
    return network.to(choose_device(device)).eval()


def read_samples(info: RunInfo, count: int, seed: int) -> dict[str, Sample]:
    """Load images of the test splits of both domains of a run.

    The labels of the target, if it has any, are for the report alone.

    Args:
        info: the settings of the run.
        count: images of each domain, at most.
        seed: for choosing the images.

    Raises:
        ValueError: the images cannot be read.
        OSError: the same.
    """
    samples = {}
    ids = (0, num_sources(info.config) if info.config.target else 0)
    for cluster_id, domain in zip(ids, DOMAINS, strict=True):
        images = _load(info, domain, count, False, seed)
        labels = None
        if isinstance(images, LabelledImages):
            labels = match_classes(images, info.classes).labels
        samples[domain] = Sample(images.images, cluster_id, labels)
    return samples


def read_training_images(info: RunInfo, count: int, seed: int) -> dict[str, Images]:
    """Load images of the training splits of both domains, by a title for each domain.

    Raises:
        ValueError: the images cannot be read.
        OSError: the same.
    """
    return {
        f"{domain}: {_place(info, domain)}": _load(info, domain, count, True, seed).images
        for domain in DOMAINS
    }


def build_untrained(subject: Subject, info: RunInfo) -> Subject:
    """Build the network as it was before training, with the same images.

    Raises:
        RunFolderError: the training started from the network of another run, or from weights that
            are not on this machine; none are downloaded for a report.
    """
    if is_source_free(info.config):
        raise RunFolderError("the training started from the network of another run")
    with torch.random.fork_rng():
        torch.manual_seed(info.config.seed)
        try:
            network = build_network(info.config, len(subject.classes), "cached")
        except PretrainedWeightsError as error:
            raise RunFolderError(str(error)) from error
    network.to(subject.device).eval()
    return Subject("before training", network, subject.samples, subject.classes)


def _place(info: RunInfo, domain: str) -> str:
    config = info.config
    places = config.source if domain == "source" else config.target or config.unseen
    if not places:
        raise RunFolderError("there was no target, and no unseen domain to look at")
    return places[0]


def _load(
    info: RunInfo, domain: str, count: int, train: bool, seed: int
) -> LabelledImages | UnlabelledImages:
    data = _place(info, domain)
    if data == IN_MEMORY:
        raise RunFolderError(
            f"the {domain} was given in memory: call the functions of dacbn.analysis on it"
        )
    return load_sample(
        *(data, count),
        train=train,
        size=info.image_size,
        seed=seed,
        **reading_options(info.config),
    )
