"""The data of a training: its domains, their augmentation family, and the test sets."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from dacbn.batch import Batch, Output, join_domains
from dacbn.datasets import (
    Family,
    FeatureViews,
    Images,
    LabelledImages,
    LabelledLike,
    UnlabelledImages,
    UnlabelledLike,
    check_one_class_set,
    choose_family,
    folders_among,
    match_classes,
    place_images,
    stream_batches,
    to_labelled,
    to_unlabelled,
)
from dacbn.models import Network
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import name_domains, name_unseen, num_sources
from dacbn.training.evaluation import run_by_domains, score_logits
from dacbn.training.features import compute_features
from dacbn.training.metrics import OF_DOMAIN, SOURCE_TEST, TARGET_TEST, VALIDATOR
from dacbn.training.validator_inputs import MAX_IMAGES, collect_validator_inputs
from dacbn.training.validators import validate, without_target


class TestSet(NamedTuple):
    """Labelled images to score on.

    Attributes:
        kind: "source_test" or "target_test".
        domain: name of the domain.
        cluster_ids: ids of the domains whose statistics answer, on average: its own, or those of
            all sources if it was never trained on.
        images: the images, with labels.
    """

    kind: str
    domain: str
    cluster_ids: tuple[int, ...]
    images: LabelledImages


@dataclass(frozen=True)
class TrainingDomains:
    """The domains of a training, with images of one size.

    Args:
        sources: labelled images of each source.
        targets: unlabelled images of each target.
        tests: test sets.
        family: augmentation family.
        validators: names of the validators to compute with the test scores.
    """

    sources: tuple[LabelledImages, ...]
    targets: tuple[UnlabelledImages, ...]
    tests: tuple[TestSet, ...]
    family: Family
    validators: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        config: TrainConfig,
        size: int,
        sources: Sequence[LabelledLike],
        targets: Sequence[UnlabelledLike],
        source_tests: Sequence[LabelledLike] = (),
        target_tests: Sequence[LabelledLike] = (),
    ) -> Self:
        """Load the domains and test sets from names, folders, arrays, files or domains.

        Args:
            config: the settings.
            size: pixels per side.
            sources: the sources, at least one.
            targets: the targets.
            source_tests: a test set for each source, or none.
            target_tests: a test set for each target, or none; where there is no target, any number
                of domains that are only scored.

        Raises:
            ValueError: data cannot be read, sources have different classes, or a test set has
                other classes than the sources.
        """
        options = reading_options(config)
        labelled = [to_labelled(each, size, train=True, **options) for each in sources]
        classes = labelled[0].classes
        for place, each in zip(config.source, labelled, strict=True):
            check_one_class_set(config.source[0], classes, place, each.classes)
        labelled = [match_classes(each, classes) for each in labelled]
        unlabelled = [to_unlabelled(each, size, train=True, **options) for each in targets]
        options |= {"classes": classes, "trained_on": folders_among(*sources, *targets)}
        tests = [
            TestSet(kind, name, cluster_ids, to_labelled(data, size, train=False, **options))
            for kind, name, cluster_ids, data in _tests(config, source_tests, target_tests)
        ]
        family = choose_family(*sources, *targets) if config.augment == "auto" else config.augment
        validators = config.validators if targets else tuple(without_target(config.validators))
        return cls(tuple(labelled), tuple(unlabelled), tuple(tests), family, validators)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the sources."""
        return self.sources[0].classes

    def with_features(self, network: Network, config: TrainConfig, device: torch.device) -> Self:
        """Return the domains with what the backbone makes of their images in place of these."""

        def run(images: Images, cluster_id: int, family: Family = "none") -> FeatureViews:
            return compute_features(network, images, cluster_id, family, device, config.seed)

        first = num_sources(config)
        return dataclasses.replace(
            self,
            sources=tuple(
                dataclasses.replace(
                    each, images=run(each.images, min(domain, first - 1), self.family)
                )
                for domain, each in enumerate(self.sources)
            ),
            targets=tuple(
                UnlabelledImages(run(each.images, first + number, self.family))
                for number, each in enumerate(self.targets)
            ),
            # statistics do not move here, so that those of all sources are still the same
            tests=tuple(
                test._replace(
                    images=dataclasses.replace(
                        test.images, images=run(test.images.images, test.cluster_ids[0])
                    )
                )
                for test in self.tests
            ),
        )

    def stream(
        self, config: TrainConfig, device: torch.device, strong: bool
    ) -> Callable[[int], Iterator[Batch]]:
        """Return a function: start step -> iterator over the batches from that step on."""
        sources, targets = self.sources, self.targets
        return lambda start: stream_batches(
            [
                LabelledImages(place_images(each.images, device), each.labels, each.classes)
                for each in sources
            ],
            [UnlabelledImages(place_images(each.images, device)) for each in targets],
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
        )

    def scorer(self, device: torch.device) -> Callable[[Network], dict[str, float]] | None:
        """Return a function that scores a network on the test sets; None without test sets."""
        return partial(self._score, device=device) if self.tests else None

    @property
    def images_to_evaluate(self) -> int:
        """Images that an evaluation runs: the test sets, and for validators those of the target."""
        count = sum(len(test.images) for test in self.tests)
        if self.validators and any(test.kind == SOURCE_TEST for test in self.tests):
            count += min(sum(map(len, self.targets)), MAX_IMAGES)
        return count

    def _score(self, network: Network, device: torch.device) -> dict[str, float]:
        found = [
            (test, run_by_domains(network, test.images.images, test.cluster_ids, device))
            for test in self.tests
        ]
        scores: dict[str, float] = {}
        for kind in (SOURCE_TEST, TARGET_TEST):
            of_kind = {
                test.domain: score_logits(output.logits, test.images.labels)
                for test, output in found
                if test.kind == kind
            }
            scores |= name_scores(kind, of_kind)
        held_out = [
            (output, test.images.labels) for test, output in found if test.kind == SOURCE_TEST
        ]
        return scores | self._validate(network, held_out, device)

    def _validate(
        self, network: Network, sources: Sequence[tuple[Output, Tensor]], device: torch.device
    ) -> dict[str, float]:
        """Compute the validators; `sources` are outputs and labels of the sources' test sets."""
        if not self.validators or not sources:
            return {}
        outputs, labels = zip(*sources, strict=True)
        source = join_domains(outputs), torch.cat([each.cpu() for each in labels])
        first = max(test.cluster_ids[0] for test in self.tests if test.kind == SOURCE_TEST) + 1
        inputs = collect_validator_inputs(network, source, self.targets, first, device)
        scores = validate(inputs, self.validators)
        return {f"{VALIDATOR}{name}": score for name, score in scores.items()}


def name_scores(kind: str, scores: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """Return scores as records name them: the mean of domains, and those of each of several.

    Args:
        kind: "source_test" or "target_test".
        scores: measures by domain.

    Example:
        >>> name_scores("target_test", {"usps": {"accuracy": 0.5}, "svhn": {"accuracy": 1.0}})
        {'target_test_accuracy': 0.75, 'target_test_accuracy/usps': 0.5, ...}
    """
    measures = list(dict.fromkeys(name for each in scores.values() for name in each))
    named = {
        f"{kind}_{measure}": fmean(each[measure] for each in scores.values())
        for measure in measures
    }
    if len(scores) > 1:
        named |= {
            f"{kind}_{measure}{OF_DOMAIN}{domain}": each[measure]
            for measure in measures
            for domain, each in scores.items()
        }
    return named


def _tests(
    config: TrainConfig, source_tests: Sequence[LabelledLike], target_tests: Sequence[LabelledLike]
) -> Iterator[tuple[str, str, tuple[int, ...], LabelledLike]]:
    """Yield kind, name of the domain, ids whose statistics answer, and data of each test set."""
    names, first = (
        name_domains(dataclasses.replace(config, merge_sources=False)),
        num_sources(config),
    )
    for kind, data, places in (
        (SOURCE_TEST, source_tests, config.source),
        (TARGET_TEST, target_tests, config.target or config.unseen),
    ):
        if data and len(data) != len(places):
            raise ValueError(
                f"{len(data)} test sets for {len(places)} domains: give {spell(kind)} as many, in "
                "the same order"
            )
    for place, each in enumerate(source_tests):
        yield SOURCE_TEST, names[place], (min(place, first - 1),), each
    for place, each in enumerate(target_tests):
        if config.target:
            yield TARGET_TEST, names[len(config.source) + place], (first + place,), each
        else:
            yield TARGET_TEST, name_unseen(config)[place], tuple(range(first)), each


def reading_options(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that concern loading, as keyword arguments of `to_labelled`."""
    return {
        "root": config.data_root,
        "download": config.download,
        "on_unreadable": config.on_unreadable,
        "fit": config.fit,
    }
