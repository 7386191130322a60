"""From a run folder to what an analysis looks at: its network, and samples of its domains."""

import dataclasses
from pathlib import Path

import torch

from dacbn.adapter import IN_MEMORY, DomainAdapter
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import (
    Images,
    LabelledImages,
    UnlabelledImages,
    check_same_classes,
    load_sample,
)
from dacbn.methods.method import SOURCE, TARGET
from dacbn.training import (
    RunFolderError,
    TrainConfig,
    build_network,
    is_source_free,
    reading_options,
)


def open_run(run: Path, data_root: Path | None) -> DomainAdapter:
    """Read a run's settings, with the folder of the named datasets as it is now.

    Raises:
        RunFolderError: there is no run.
    """
    adapter = DomainAdapter.from_run(run)
    if data_root is not None:
        adapter.config = dataclasses.replace(adapter.config, data_root=data_root)
    return adapter


def read_samples(adapter: DomainAdapter, count: int, seed: int) -> dict[str, Sample]:
    """Load images of the test splits of a run's domains.

    The target's labels, where it has any, are for the report alone.

    Args:
        adapter: with the settings of the run.
        count: images of each domain, at most.
        seed: of their choice.

    Raises:
        ValueError: they cannot be read.
        OSError: the same.
    """
    samples = {}
    for domain, cluster_id in (("source", SOURCE), ("target", TARGET)):
        images = _load(adapter, domain, count, False, seed)
        labels = None
        if isinstance(images, LabelledImages):
            check_same_classes(adapter.classes, images.classes)
            labels = images.labels
        samples[domain] = Sample(images.images, cluster_id, labels)
    return samples


def read_shown(adapter: DomainAdapter, count: int, seed: int) -> dict[str, Images]:
    """Load images of the training parts of a run's domains, by what to call the domain.

    Raises:
        ValueError: they cannot be read.
        OSError: the same.
    """
    return {
        f"{domain}: {getattr(adapter.config, domain)}": _load(
            adapter, domain, count, True, seed
        ).images
        for domain in ("source", "target")
    }


def read_untrained(subject: Subject, config: TrainConfig) -> Subject:
    """Build the network that a training began with, to look at the same images.

    Raises:
        RunFolderError: it began with another run's.
        OSError: pretrained weights cannot be had.
    """
    if is_source_free(config):
        raise RunFolderError("the training went on from another run's network")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = build_network(config, len(subject.classes), config.pretrained)
    network.to(subject.device).eval()
    return Subject("before training", network, subject.samples, subject.classes)


def _load(
    adapter: DomainAdapter, domain: str, count: int, train: bool, seed: int
) -> LabelledImages | UnlabelledImages:
    data = getattr(adapter.config, domain)
    if data == IN_MEMORY:
        raise RunFolderError(
            f"the {domain} was given in memory: call the functions of dacbn.analysis on it"
        )
    return load_sample(
        *(data, count),
        train=train,
        size=adapter.image_size,
        seed=seed,
        **reading_options(adapter.config),
    )
