"""Read a run folder for analysis: the trained network, and images of its domains."""

import dataclasses
import warnings
from pathlib import Path

import torch

from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import (
    Images,
    LabelledImages,
    NamedImages,
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
    name_places,
    name_unseen,
    place_ids,
    read_run_info,
    reading_options,
)
from dacbn.training.run_info import IN_MEMORY


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
    """Load images of the test splits of all domains of a run.

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
    for title, (place, cluster_id) in _domains(info).items():
        images = _load(info, title, place, count, False, seed)
        labels = None
        if isinstance(images, LabelledImages):
            labels = match_classes(images, info.classes, info.config.unknown).labels
            if bool((labels == len(info.classes)).any()):  # figures have the known classes alone
                warnings.warn(
                    f"the {title} has unknown classes: its labels are not shown", stacklevel=2
                )
                labels = None
        samples[title] = Sample(images.images, cluster_id, labels, images.names)
    return samples


def read_training_images(info: RunInfo, count: int, seed: int) -> dict[str, Images]:
    """Load images of the training splits of all domains, by a title for each domain.

    Raises:
        ValueError: the images cannot be read.
        OSError: the same.
    """
    return {
        f"{title}: {place}": _load(info, title, place, count, True, seed).images
        for title, (place, _) in _domains(info).items()
    }


def build_untrained(subject: Subject, info: RunInfo) -> Subject:
    """Build the network as it was before training, with the same images.

    Raises:
        RunFolderError: the training started from the network of another run, or from weights that
            are not on this machine, as none are downloaded for a report; or it left the features
            as they were.
    """
    if info.config.train == "head" and not info.config.bottleneck:
        raise RunFolderError("the backbone was not trained: its features were the same before")
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


def _domains(info: RunInfo) -> dict[str, tuple[str, int]]:
    """Return place and id of each domain by its title: "source", or "source mnist" of several."""
    config = info.config
    if not config.target and not config.unseen:
        raise RunFolderError("there was no target, and no unseen domain to look at")
    given = list(
        zip(name_places(config), config.source + config.target, place_ids(config), strict=True)
    )
    if not config.target:  # by the statistics of the first source
        given += [(n, p, 0) for n, p in zip(name_unseen(config), config.unseen, strict=True)]
    count = len(config.source)
    sides = ["source"] * count + ["target"] * (len(given) - count)
    return {
        f"{side} {name}" if sides.count(side) > 1 else side: (place, cluster_id)
        for side, (name, place, cluster_id) in zip(sides, given, strict=True)
    }


def _load(
    info: RunInfo, title: str, place: str, count: int, train: bool, seed: int
) -> LabelledImages | NamedImages:
    if place == IN_MEMORY:
        raise RunFolderError(
            f"the {title} was given in memory: call the functions of dacbn.analysis on it"
        )
    return load_sample(
        *(place, count),
        train=train,
        size=info.image_size,
        seed=seed,
        **reading_options(info.config),
    )
