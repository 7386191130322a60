"""The data of a training: its domains, their augmentation family, and the test sets."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from dacbn.batch import Batch, Output, join_domains
from dacbn.datasets import (
    Family,
    FeatureViews,
    Images,
    LabelledImages,
    LabelledLike,
    TrainedPlaces,
    TrainedSource,
    TrainedTarget,
    UnlabelledImages,
    UnlabelledLike,
    add_labelled,
    check_one_class_set,
    choose_family,
    folders_among,
    labelled_files,
    listed,
    order_classes,
    place_domain,
    read_labelled_target,
    stream_batches,
    to_source,
    to_target,
    with_unknown,
)
from dacbn.models import Network, takes_cluster_ids
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import place_ids
from dacbn.training.evaluation import name_scores, run_by_domains
from dacbn.training.features import compute_features
from dacbn.training.held_out import run_held_out
from dacbn.training.metrics import SOURCE_TEST, TARGET_TEST, UNKNOWN_THRESHOLD, VALIDATOR
from dacbn.training.right_answers import Right, Scorer, name_test
from dacbn.training.several_processes import check_same_data
from dacbn.training.target_outputs import NOTHING_APART, Apart, run_targets
from dacbn.training.test_sets import TestSet, read_test_sets
from dacbn.training.unknown import answer, find_threshold, score_output
from dacbn.training.validator_inputs import MAX_IMAGES, collect_validator_inputs
from dacbn.training.validators import validate, without_target


@dataclass(frozen=True)
class TrainingDomains:
    """The domains of a training, with images of one size.

    Args:
        sources: labelled images of each source, or a stream of them.
        targets: unlabelled images of each target, or a stream of them.
        ids: domain id of each source and target, which normalisers receive.
        tests: test sets.
        family: augmentation family.
        validators: names of the validators to compute with the test scores.
        unknown: whether answers may be "unknown".
        labelled: a few labelled images of each target, or none.
    """

    sources: tuple[TrainedSource, ...]
    targets: tuple[TrainedTarget, ...]
    ids: tuple[int, ...]
    tests: tuple[TestSet, ...]
    family: Family
    validators: tuple[str, ...] = ()
    unknown: bool = False
    labelled: tuple[LabelledImages, ...] = ()

    @classmethod
    def read(
        cls,
        config: TrainConfig,
        size: int,
        sources: Sequence[LabelledLike],
        targets: Sequence[UnlabelledLike],
        source_tests: Sequence[LabelledLike | None] = (),
        target_tests: Sequence[LabelledLike | None] = (),
        labelled_targets: Sequence[LabelledLike] = (),
    ) -> Self:
        """Load the domains and test sets from names, folders, arrays, files or domains.

        Args:
            config: the settings.
            size: pixels per side.
            sources: the sources, at least one.
            targets: the targets.
            source_tests: a test set for each source, or none; None where one has none.
            target_tests: the same of targets; where there is no target, any number of domains that
                are only scored.
            labelled_targets: a few labelled images of each target, or none.

        Raises:
            ValueError: data cannot be read, sources have different classes, or a test set has
                other classes than the sources, and may not.
        """
        if config.unknown and not targets:
            raise ValueError(
                f"leave out {spell('unknown')}: its threshold is chosen on images of a target"
            )
        options = reading_options(config)
        labelled = [to_source(each, size, **options) for each in sources]
        classes = labelled[0].classes or ()
        for place, each in zip(config.source, labelled, strict=True):
            check_one_class_set(config.source[0], classes, place, each.classes or ())
        labelled = [order_classes(each, classes) for each in labelled]
        if config.unknown:
            with_unknown(classes)  # raises if the source has a class of that name
        unlabelled = [to_target(each, size, **options) for each in targets]
        check_same_data((*config.source, *config.target), (*labelled, *unlabelled))
        few = [read_labelled_target(each, size, classes, **options) for each in labelled_targets]
        trained_on = TrainedPlaces(
            (*folders_among(*sources, *targets), *labelled_files(*labelled_targets))
        )
        options |= {"classes": classes, "trained_on": trained_on}
        tests = read_test_sets(config, size, source_tests, target_tests, **options)
        family = choose_family(*sources, *targets) if config.augment == "auto" else config.augment
        known = listed(unlabelled)
        return cls(
            *(tuple(labelled), tuple(unlabelled), place_ids(config), tests, family),
            validators=(
                config.validators
                if known and len(known) == len(targets)
                else tuple(without_target(config.validators))
            ),
            unknown=config.unknown,
            labelled=tuple(few),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the sources."""
        return self.sources[0].classes or ()

    @property
    def listed_targets(self) -> list[UnlabelledImages]:
        """The targets, if none is a stream: those of a stream cannot be sampled."""
        known = listed(self.targets)
        return known if len(known) == len(self.targets) else []

    def with_features(self, network: Network, config: TrainConfig, device: torch.device) -> Self:
        """Return the domains with what the backbone makes of their images in place of these."""

        def run(images: Images, cluster_id: int, family: Family = "none") -> FeatureViews:
            return compute_features(network, images, cluster_id, family, device, config.seed)

        ids, count = self.ids, len(self.sources)
        return dataclasses.replace(
            self,
            sources=tuple(
                dataclasses.replace(each, images=run(each.images, ids[number], self.family))
                for number, each in enumerate(listed(self.sources))
            ),
            targets=tuple(
                UnlabelledImages(run(each.images, ids[count + number], self.family))
                for number, each in enumerate(self.listed_targets)
            ),
            labelled=tuple(
                dataclasses.replace(each, images=run(each.images, ids[count + number], self.family))
                for number, each in enumerate(self.labelled)
            ),
            tests=tuple(
                test
                if len(test.cluster_ids) > 1 and takes_cluster_ids(network)  # several answer it
                else test._replace(
                    images=dataclasses.replace(
                        test.images, images=run(test.images.images, test.cluster_ids[0])
                    )
                )
                for test in self.tests
            ),
        )

    def first_batch(self, config: TrainConfig, device: torch.device) -> Batch | None:
        """Return the first batch of images, if TensorBoard could not show it from features."""
        wanted = config.tensorboard and config.train == "head"
        return next(self.stream(config, device, strong=False)(0)) if wanted else None

    def stream(
        self, config: TrainConfig, device: torch.device, strong: bool
    ) -> Callable[[int], Iterator[Batch]]:
        """Return a function: start step -> iterator over the batches from that step on."""
        sources, targets = self.sources, self.targets
        return add_labelled(
            lambda start: stream_batches(
                [place_domain(each, device) for each in sources],
                [place_domain(each, device) for each in targets],
                source_batch_size=config.source_batch_size,
                target_batch_size=config.target_batch_size,
                family=self.family,
                strong=strong,
                seed=config.seed,
                device=device,
                start=start,
                stop=config.steps,
                balance=config.balance_domains,
                merge_sources=config.merge_sources,
                merge_targets=config.merge_targets,
                balance_classes=config.balance_classes,
            ),
            self.labelled,
            batch_size=config.labelled_batch_size,
            family=self.family,
            seed=config.seed,
            device=device,
            stop=config.steps,
            balance=config.balance_domains,
            merge=config.merge_targets,
        )

    def scorer(self, device: torch.device) -> Scorer | None:
        """Return a function that scores a network on the test sets; None without test sets."""
        scored = self.tests or self.unknown
        return Scorer(partial(self._score, device=device)) if scored else None

    @property
    def images_to_evaluate(self) -> int:
        """Images that an evaluation runs: the test sets, and for validators those of the target."""
        count = sum(len(test.images) for test in self.tests)
        if self.validators and any(test.kind == SOURCE_TEST for test in self.tests):
            count += min(sum(map(len, self.listed_targets)), MAX_IMAGES)
        return count

    def run_apart(self, network: Network, device: torch.device) -> Apart:
        """Run a trained network on held-out source images and on unlabelled target images."""
        tests = [
            (test.images, test.cluster_ids[0]) for test in self.tests if test.kind == SOURCE_TEST
        ]
        if not tests:
            return NOTHING_APART
        targets, own_ids = self.listed_targets, self.ids[len(self.sources) :]
        outputs = run_targets(network, targets, own_ids[: len(targets)], device)
        return Apart(run_held_out(network, tests, device), outputs)

    def _score(self, network: Network, device: torch.device) -> tuple[dict[str, float], Right]:
        scores: dict[str, float] = {}
        threshold = None
        if self.unknown:
            own_ids = self.ids[len(self.sources) :]
            threshold = find_threshold(network, self.listed_targets, own_ids, device)
            scores[UNKNOWN_THRESHOLD] = threshold
        found = [
            (test, run_by_domains(network, test.images.images, test.cluster_ids, device))
            for test in self.tests
        ]
        for kind, domains in ((SOURCE_TEST, self.sources), (TARGET_TEST, self.targets)):
            of_kind = {
                test.domain: score_output(network, output, test.images.labels, threshold)
                for test, output in found
                if test.kind == kind
            }
            scores |= name_scores(kind, of_kind, several=len(domains) > 1)
        held_out = [
            (output, test.images.labels) for test, output in found if test.kind == SOURCE_TEST
        ]
        right = {
            name_test(test.kind, test.domain): answer(network, output, threshold)
            == test.images.labels.cpu()
            for test, output in found
        }
        digests = {name: each for test in self.tests for name, each in test.digests.items()}
        return scores | self._validate(network, held_out, device), right | digests

    def _validate(
        self, network: Network, sources: Sequence[tuple[Output, Tensor]], device: torch.device
    ) -> dict[str, float]:
        """Compute the validators; `sources` are outputs and labels of the sources' test sets."""
        if not self.validators or not sources:
            return {}
        outputs, labels = zip(*sources, strict=True)
        source = join_domains(outputs), torch.cat([each.cpu() for each in labels])
        targets = self.listed_targets
        own_ids = self.ids[len(self.sources) :][: len(targets)]
        inputs = collect_validator_inputs(network, source, targets, own_ids, device)
        scores = validate(inputs, self.validators)
        return {f"{VALIDATOR}{name}": score for name, score in scores.items()}


def reading_options(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that concern loading, as keyword arguments of `to_labelled`."""
    return {
        "root": config.data_root,
        "download": config.download,
        "on_unreadable": config.on_unreadable,
        "fit": config.fit,
        "columns": config.columns,
        "cache": config.cache,
    }
