"""Adapting a trained network without the source: its settings, what it reads, and its state."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from dacbn.batch import TARGET, TargetBatch
from dacbn.datasets import (
    Family,
    LabelledImages,
    LabelledLike,
    UnlabelledImages,
    UnlabelledLike,
    check_same_classes,
    choose_family,
    iterate,
    place_images,
    stream_target,
    to_labelled,
    to_unlabelled,
)
from dacbn.methods import create_source_free_method, source_free_methods
from dacbn.models import Network
from dacbn.registry import parse_spec
from dacbn.training.assemble import build_network
from dacbn.training.config import TrainConfig
from dacbn.training.domains import reading_options
from dacbn.training.evaluate import evaluate
from dacbn.training.metrics import VALIDATOR
from dacbn.training.state import TrainingState
from dacbn.training.validator_inputs import collect_validator_inputs
from dacbn.training.validators import validate, without_source

KEPT = {  # what the trained network comes with
    *("source", "source_batch_size", "image_size", "backbone", "pretrained", "norm"),
    *("norm_sites", "norm_replaces", "input_norm", "cluster_ids", "classifier"),
}
WHOLE_BATCH = 256  # images at a time, where all pass


def adaptation_config(
    config: TrainConfig, target: str, method: str, options: dict[str, Any]
) -> TrainConfig:
    """Derive the settings of an adaptation from those of the training it goes on from.

    Raises:
        UnknownNameError: there is no such source-free method.
        ValueError: an option does not exist, or belongs to the trained network.
    """
    source_free_methods[parse_spec(method)[0]]
    if kept := sorted(KEPT & options.keys()):
        raise ValueError(
            f"an adaptation keeps the network it starts from: leave out {', '.join(kept)}"
        )
    return TrainConfig.from_options(
        **{**vars(config), **options, "target": target, "method": method}
    )


@dataclass(frozen=True)
class TargetDomain:
    """A target without a source.

    Args:
        images: of the target, where they stay during the adaptation.
        test: labelled images to score on, if there are any.
        family: which augmentations.
        device: where batches shall be.
        validators: names of label-free scores, which none that needs the source is among.
    """

    images: UnlabelledImages
    test: LabelledImages | None
    family: Family
    device: torch.device
    validators: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        config: TrainConfig,
        size: int,
        classes: tuple[str, ...],
        target: UnlabelledLike,
        target_test: LabelledLike | None,
        device: torch.device,
    ) -> Self:
        """Read whatever a person gave.

        Raises:
            ValueError: it cannot be read, or the test has other classes.
        """
        options = reading_options(config)
        images = to_unlabelled(target, size, train=True, **options).images
        test = None
        if target_test is not None:
            test = to_labelled(target_test, size, train=False, classes=classes, **options)
            check_same_classes(classes, test.classes)
        family = choose_family(target) if config.augment == "auto" else config.augment
        validators = tuple(without_source(config.validators))
        return cls(UnlabelledImages(place_images(images, device)), test, family, device, validators)

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.images)

    def batches(self) -> Iterator[Tensor]:
        """Yield all images, unchanged and in order."""
        return iterate(self.images.images, WHOLE_BATCH, self.device)

    def stream(self, config: TrainConfig) -> Callable[[int], Iterator[TargetBatch]]:
        """Return the function from a first step to the batches from there on."""
        return lambda start: stream_target(
            self.images,
            batch_size=config.target_batch_size,
            family=self.family,
            seed=config.seed,
            device=self.device,
            start=start,
            stop=config.steps,
        )

    def scorer(self) -> Callable[[Network], dict[str, float]] | None:
        """Return the function that scores a network; None where there is nothing to score by."""
        return self._score if self.validators or self.test is not None else None

    def _score(self, network: Network) -> dict[str, float]:
        scores: dict[str, float] = {}
        if self.validators:
            inputs = collect_validator_inputs(network, None, self.images, self.device)
            found = validate(inputs, self.validators)
            scores |= {f"{VALIDATOR}{name}": score for name, score in found.items()}
        if self.test is not None:
            found = evaluate(network, self.test, TARGET, self.device)
            scores |= {f"target_test_{measure}": score for measure, score in found.items()}
        return scores


def create_adaptation_state(
    config: TrainConfig,
    num_classes: int,
    target: TargetDomain,
    network: Network | None,
    checkpoint: dict[str, Any] | None = None,
) -> TrainingState:
    """Start an adaptation, or go on with the one of a checkpoint.

    Args:
        config: the settings.
        num_classes: classes.
        target: what it adapts to.
        network: what to start from, which stays as it is; a checkpoint holds its own.
        checkpoint: of the adaptation to go on with.

    Raises:
        ValueError: the method has no such option.
        RunFolderError: the checkpoint is of another adaptation.
    """
    torch.manual_seed(config.seed)
    start = build_network(config, num_classes) if network is None else copy.deepcopy(network)
    method = create_source_free_method(config.method, start, target).to(target.device)
    state = TrainingState.create(method, config)
    if checkpoint is not None:
        state.load_state_dict(checkpoint)
    return state
