"""The data of a training: two domains, their augmentation family, and the test sets."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from dacbn.batch import SOURCE, TARGET, Batch, Output
from dacbn.datasets import (
    Family,
    FeatureViews,
    Images,
    LabelledImages,
    LabelledLike,
    UnlabelledImages,
    UnlabelledLike,
    check_same_classes,
    choose_family,
    folders_among,
    place_images,
    stream_batches,
    to_labelled,
    to_unlabelled,
)
from dacbn.models import Network
from dacbn.training.config import TrainConfig
from dacbn.training.evaluation import run_network, score_logits
from dacbn.training.features import compute_features
from dacbn.training.metrics import VALIDATOR
from dacbn.training.validator_inputs import MAX_IMAGES, collect_validator_inputs
from dacbn.training.validators import validate


@dataclass(frozen=True)
class TrainingDomains:
    """The domains of a training, with images of one size.

    Args:
        source: labelled images.
        target: unlabelled images.
        tests: test sets by name, each labelled images and their domain id.
        family: augmentation family.
        validators: names of the validators to compute with the test scores.
    """

    source: LabelledImages
    target: UnlabelledImages
    tests: dict[str, tuple[LabelledImages, int]]
    family: Family
    validators: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        config: TrainConfig,
        size: int,
        source: LabelledLike,
        target: UnlabelledLike,
        source_test: LabelledLike | None,
        target_test: LabelledLike | None,
    ) -> Self:
        """Load the domains and test sets from names, folders, arrays, files or domains.

        Raises:
            ValueError: data cannot be read, or a test set has other classes than the source.
        """
        options = reading_options(config)
        labelled = to_labelled(source, size, train=True, **options)
        unlabelled = to_unlabelled(target, size, train=True, **options)
        tests = {}
        given = {"source_test": (source_test, SOURCE), "target_test": (target_test, TARGET)}
        for name, (data, cluster_id) in given.items():
            if data is not None:
                test = to_labelled(
                    *(data, size),
                    train=False,
                    classes=labelled.classes,
                    trained_on=folders_among(source, target),
                    **options,
                )
                check_same_classes(labelled.classes, test.classes)
                tests[name] = (test, cluster_id)
        family = choose_family(source, target) if config.augment == "auto" else config.augment
        return cls(labelled, unlabelled, tests, family, config.validators)

    def with_features(self, network: Network, seed: int, device: torch.device) -> Self:
        """Return the domains with what the backbone makes of their images in place of these."""

        def run(images: Images, cluster_id: int, family: Family = "none") -> FeatureViews:
            return compute_features(network, images, cluster_id, family, device, seed)

        source = run(self.source.images, SOURCE, self.family)
        return dataclasses.replace(
            self,
            source=dataclasses.replace(self.source, images=source),
            target=UnlabelledImages(run(self.target.images, TARGET, self.family)),
            tests={
                name: (dataclasses.replace(test, images=run(test.images, cluster_id)), cluster_id)
                for name, (test, cluster_id) in self.tests.items()
            },
        )

    def stream(
        self, config: TrainConfig, device: torch.device, strong: bool
    ) -> Callable[[int], Iterator[Batch]]:
        """Return a function: start step -> iterator over the batches from that step on."""
        source, target = self.source, self.target
        return lambda start: stream_batches(
            LabelledImages(place_images(source.images, device), source.labels, source.classes),
            UnlabelledImages(place_images(target.images, device)),
            source_batch_size=config.source_batch_size,
            target_batch_size=config.target_batch_size,
            family=self.family,
            strong=strong,
            seed=config.seed,
            device=device,
            start=start,
            stop=config.steps,
        )

    def scorer(self, device: torch.device) -> Callable[[Network], dict[str, float]] | None:
        """Return a function that scores a network on the test sets; None without test sets."""
        return partial(self._score, device=device) if self.tests else None

    @property
    def images_to_evaluate(self) -> int:
        """Images that an evaluation runs: the test sets, and for validators those of the target."""
        count = sum(len(test) for test, _ in self.tests.values())
        if self.validators and any(cluster_id == SOURCE for _, cluster_id in self.tests.values()):
            count += min(len(self.target), MAX_IMAGES)
        return count

    def _score(self, network: Network, device: torch.device) -> dict[str, float]:
        scores: dict[str, float] = {}
        for name, (test, cluster_id) in self.tests.items():
            output = run_network(network, test.images, cluster_id, device)
            for measure, score in score_logits(output.logits, test.labels).items():
                scores[f"{name}_{measure}"] = score
            if cluster_id == SOURCE:
                scores |= self._validate(network, output, test.labels, device)
        return scores

    def _validate(
        self, network: Network, source: Output, source_labels: Tensor, device: torch.device
    ) -> dict[str, float]:
        """Compute the validators; `source` is the output on the source's test set."""
        if not self.validators:
            return {}
        inputs = collect_validator_inputs(network, (source, source_labels), self.target, device)
        scores = validate(inputs, self.validators)
        return {f"{VALIDATOR}{name}": score for name, score in scores.items()}


def reading_options(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that concern loading, as keyword arguments of `to_labelled`."""
    return {
        "root": config.data_root,
        "download": config.download,
        "on_unreadable": config.on_unreadable,
        "fit": config.fit,
        "cache": config.cache,
    }
