"""Adapt a trained network without the source: the settings, the target domain and the state."""

import copy
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from dacbn.batch import TARGET, TargetBatch
from dacbn.datasets import (
    Family,
    LabelledImages,
    LabelledLike,
    UnlabelledImages,
    UnlabelledLike,
    choose_family,
    iterate,
    place_images,
    stream_target,
    to_labelled,
    to_unlabelled,
)
from dacbn.methods import SourceFreeMethod, source_free_methods
from dacbn.models import (
    Network,
    clusters_for_domains,
    freeze_backbone,
    takes_cluster_ids,
    takes_ids,
)
from dacbn.norms import swap_clusters
from dacbn.spec import Spec
from dacbn.spelling import spell
from dacbn.training.assemble import build_network, has_unknown_output
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import name_places, num_domains, num_sources, place_ids
from dacbn.training.domains import reading_options
from dacbn.training.evaluation import run_network
from dacbn.training.features import compute_features
from dacbn.training.metrics import TARGET_TEST, UNKNOWN_THRESHOLD, VALIDATOR
from dacbn.training.right_answers import Right, Scorer, digest_test, name_test
from dacbn.training.roles import Role
from dacbn.training.several_processes import check_same_data
from dacbn.training.state import TrainingState
from dacbn.training.unknown import answer, find_threshold, score_output
from dacbn.training.validator_inputs import MAX_IMAGES, collect_validator_inputs
from dacbn.training.validators import validate, without_source

LOG = logging.getLogger(__name__)
WHOLE_BATCH = 256  # images at a time, when all images are run


def adaptation_config(
    config: TrainConfig, target: str, method: str, options: dict[str, Any]
) -> TrainConfig:
    """Derive the settings of an adaptation from those of the training that it starts from.

    Raises:
        UnknownNameError: there is no such source-free method.
        ValueError: an option is unknown, or belongs to the trained network; or this has an output
            for unknown classes.
    """
    if has_unknown_output(config):
        raise ValueError(
            f"{config.method} has an output for unknown classes, which needs the source: adapt a "
            "run of another method"
        )
    for term in Spec(method).terms:
        source_free_methods.check(term)
    by_id = [norm for norm in (config.norm, config.input_norm) if norm and takes_ids(norm)]
    if by_id and not config.target:
        raise ValueError(
            f"{by_id[0]} has statistics for each source and, without a target in training, none "
            "for another domain: train with the target, or with another norm"
        )
    if kept := sorted(options.keys() & config.names(Role.KEPT)):
        raise ValueError(
            "an adaptation keeps the network it starts from: leave out "
            f"{', '.join(map(spell, kept))}"
        )
    norms = {  # of the trained network, which may know more domains than the adapted one
        name: norm and clusters_for_domains(norm, num_domains(config))
        for name, norm in (("norm", config.norm), ("input_norm", config.input_norm))
    }
    return config.from_options(
        **{**vars(config), **norms, **options, "target": target, "method": method}
    )


def start_network(network: Network, trained: TrainConfig, config: TrainConfig) -> Network:
    """Return a trained network whose domains are its sources and the one target.

    Normalisers that know the domains keep the statistics of the sources and, for the target, those
    that it had in training; a place that was not trained on starts from those of the first target.

    Args:
        network: the trained network, which is not changed.
        trained: settings of its training.
        config: settings of the adaptation.
    """
    if not trained.target or not takes_cluster_ids(network):
        return network
    place, first = config.target[0], num_sources(trained)
    ids = place_ids(trained)[len(trained.source) :]
    own = ids[trained.target.index(place)] if place in trained.target else first
    if place not in trained.target and len(set(ids)) > 1:
        LOG.info("%s starts from the statistics of %s", place, trained.target[0])
    network = copy.deepcopy(network)
    network.num_domains = num_domains(config)
    swap_clusters(network, first, own)
    return network


@dataclass(frozen=True)
class TargetDomain:
    """The target of an adaptation without source.

    Args:
        images: target images, on the device where they stay during the adaptation.
        test: labelled images to score on, if there are any.
        family: augmentation family.
        device: device of the batches.
        validators: names of label-free scores that do not need the source.
        cluster_id: id of the domain, which normalisers receive.
        unknown: whether answers may be "unknown".
        name: of the domain.
        digests: of the test set, by names in the file of right answers.
    """

    images: UnlabelledImages
    test: LabelledImages | None
    family: Family
    device: torch.device
    validators: tuple[str, ...] = ()
    cluster_id: int = TARGET
    unknown: bool = False
    name: str = "target"
    digests: Right = dataclasses.field(default_factory=dict)

    @classmethod
    def read(
        cls,
        config: TrainConfig,
        size: int,
        classes: tuple[str, ...],
        target: UnlabelledLike,
        target_test: LabelledLike | None,
        device: torch.device,
        trained_on: Sequence[Path] | None = None,
    ) -> Self:
        """Load the target (and test set) from a name, folder, arrays or domain.

        `trained_on` are folders of which no training part may be tested.

        Raises:
            ValueError: it cannot be read, or the test set has other classes.
        """
        options = reading_options(config)
        images = to_unlabelled(target, size, train=True, **options).images
        check_same_data(config.target, [images])
        test = None
        if target_test is not None:
            test = to_labelled(
                *(target_test, size),
                train=False,
                classes=classes,
                unknown=config.unknown,
                trained_on=trained_on,
                **options,
            )
        family = choose_family(target) if config.augment == "auto" else config.augment
        validators = tuple(without_source(config.validators))
        placed, cluster_id = UnlabelledImages(place_images(images, device)), num_sources(config)
        name = name_places(config)[-1]
        digests = {} if test is None else digest_test(name_test(TARGET_TEST, name), test)
        known = validators, cluster_id, config.unknown, name, digests
        return cls(placed, test, family, device, *known)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def batches(self) -> Iterator[Tensor]:
        """Yield all images, unchanged and in order."""
        return iterate(self.images.images, WHOLE_BATCH, self.device)

    def stream(self, config: TrainConfig) -> Callable[[int], Iterator[TargetBatch]]:
        """Return a function: start step -> iterator over the batches from that step."""
        return lambda start: stream_target(
            self.images,
            batch_size=config.target_batch_size,
            family=self.family,
            seed=config.seed,
            device=self.device,
            start=start,
            stop=config.steps,
        )

    def scorer(self) -> Scorer | None:
        """Return the function that scores a network; None without validators and test set."""
        scored = self.validators or self.unknown or self.test is not None
        return Scorer(self._score) if scored else None

    @property
    def images_to_evaluate(self) -> int:
        """Images that an evaluation runs: the test set, and for validators those of the target."""
        count = 0 if self.test is None else len(self.test)
        return count + (min(len(self), MAX_IMAGES) if self.validators else 0)

    def right(self, network: Network) -> Right:
        """Return which test images a network answers rightly."""
        return dataclasses.replace(self, validators=())._score(network)[1]

    def _score(self, network: Network) -> tuple[dict[str, float], Right]:
        scores: dict[str, float] = {}
        right: Right = {}
        threshold = None
        if self.unknown:
            threshold = find_threshold(network, [self.images], [self.cluster_id], self.device)
            scores[UNKNOWN_THRESHOLD] = threshold
        if self.validators:
            inputs = collect_validator_inputs(
                network, None, [self.images], [self.cluster_id], self.device
            )
            found = validate(inputs, self.validators)
            scores |= {f"{VALIDATOR}{name}": score for name, score in found.items()}
        if self.test is not None:
            output = run_network(network, self.test.images, self.cluster_id, self.device)
            found = score_output(network, output, self.test.labels, threshold)
            scores |= {f"target_test_{measure}": score for measure, score in found.items()}
            answered = answer(network, output, threshold)
            right = {name_test(TARGET_TEST, self.name): answered == self.test.labels.cpu()}
            right |= self.digests
        return scores, right


def create_adaptation_state(
    config: TrainConfig,
    num_classes: int,
    target: TargetDomain,
    network: Network | None,
    checkpoint: dict[str, Any] | None = None,
    backbone: nn.Module | None = None,
    image_size: int | None = None,
) -> TrainingState:
    """Create the state of a new adaptation, or of the adaptation in a checkpoint.

    Args:
        config: the settings.
        num_classes: classes.
        target: the domain to adapt to.
        network: the network to start from, which is not changed; None with a checkpoint.
        checkpoint: checkpoint of the adaptation to resume.
        backbone: see `build_network`.
        image_size: see `build_network`.

    Raises:
        ValueError: the method has no such option.
        RunFolderError: the checkpoint belongs to another adaptation.
    """
    torch.manual_seed(config.seed)
    start = copy.deepcopy(network)
    if start is None:
        start = build_network(config, num_classes, False, backbone, image_size)
    start.requires_grad_(True)  # its own training may have frozen a part, or averaged the weights
    freeze_backbone(start.backbone, config.train)
    method = source_free_methods.build(config.method, start, target).to(target.device)
    state = TrainingState.create(method, config)
    if checkpoint is not None:
        state.load_state_dict(checkpoint)
    return state


def use_features(state: TrainingState, target: TargetDomain, seed: int) -> TargetDomain:
    """Let an adaptation see features of its target, which the frozen backbone makes once.

    Returns:
        the target with features in place of images.
    """
    network, device, test = state.method.network, target.device, target.test
    assert isinstance(state.method, SourceFreeMethod)
    views = compute_features(
        network, target.images.images, target.cluster_id, target.family, device, seed
    )
    if test is not None:
        features = compute_features(network, test.images, target.cluster_id, "none", device)
        test = dataclasses.replace(test, images=features)
    known = dataclasses.replace(target, images=UnlabelledImages(views), test=test)
    state.method.target = known
    return known
