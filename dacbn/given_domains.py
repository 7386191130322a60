"""The domains that `fit` is given, in its own form or in scikit-learn's."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypedDict

import numpy as np

from dacbn.datasets import (
    LabelledLike,
    UnlabelledLike,
    folders_among,
    has_labels,
    is_unlabelled,
    labelled_files,
    list_domains,
)
from dacbn.spelling import spell
from dacbn.training import TrainConfig, name_given
from dacbn.training.metrics import find_metric
from dacbn.training.setting_groups import NO_TARGET

NOT_GIVEN: Any = "not given"  # None is a target: there is none
Sources: TypeAlias = LabelledLike | Sequence[LabelledLike]
Tests: TypeAlias = LabelledLike | Sequence[LabelledLike | None]
Targets: TypeAlias = UnlabelledLike | Sequence[UnlabelledLike] | None
OnEvaluation: TypeAlias = Callable[[int, Mapping[str, float]], bool | None]


class FitOptions(TypedDict, total=False):
    """Keyword arguments of `DomainAdapter.fit`, which documents them."""

    source_test: Tests | None
    target_test: Tests | None
    target_labelled: Sources | None
    run: str | Path | None
    resume: bool
    on_evaluation: OnEvaluation | None


class GivenDomains(NamedTuple):
    """Domains, not read yet: sources, targets, test sets, and a few labelled target images."""

    sources: list[Any]
    targets: list[Any]
    source_tests: list[Any]
    target_tests: list[Any]
    few: list[Any]

    def named_in(self, config: TrainConfig) -> TrainConfig:
        """Return the settings with the names of these domains."""
        return dataclasses.replace(
            config,
            source=name_given(self.sources),
            target=name_given(self.targets),
            target_labelled=name_given(self.few),
            unseen=() if self.targets else name_given(self.target_tests),
        )

    def trained_on(self) -> tuple[Path, ...]:
        """Return the folders and files of the domains that are trained on."""
        return (*folders_among(*self.sources, *self.targets), *labelled_files(*self.few))


def sort_arguments(source: Any, second: Any, target: Any, setting: Any) -> tuple[Any, Any]:
    """Return source and target of a call in one of two forms.

    `fit(source, target)` has the labels in the source, and `fit(images, labels, target=target)`,
    which scikit-learn calls, has them beside it. Images without labels are no source, so they tell
    the second form.

    Args:
        source: the first argument.
        second: the second one, target or labels.
        target: the target by its name.
        setting: the target in the settings, for the second form; by default that is none.

    Raises:
        ValueError: a target or labels are missing or given twice, or were cut by scikit-learn.
    """
    given = [each for each in (second, target) if each is not NOT_GIVEN]
    if has_labels(source) or (len(given) < 2 and not is_unlabelled(source)):
        if len(given) != 1:
            problem = "the target is given twice" if given else "there is no target"
            raise ValueError(f"{problem}: call fit(source, target), or fit(source, None)")
        return source, given[0]
    if not _may_be_labels(second):
        raise ValueError(
            "the source has images and no labels: call fit((images, labels), target), or "
            "fit(images, labels, target=target)"
        )
    if target is NOT_GIVEN and setting != TrainConfig.target:
        target = setting or None
    if target is NOT_GIVEN:
        raise ValueError(
            "there are labels and no target: call fit(images, labels, target=target), where None "
            f"is no target, or set {spell('target', 'FOLDER')} in the settings of the adapter"
        )
    if isinstance(target, list) and target and all(map(_is_letter, target)):
        raise ValueError(
            f"the target came as {len(target)} letters, as scikit-learn cuts a text of as many as "
            "there are images: pass pathlib.Path(folder)"
        )
    return (source, second), target


def list_given(
    source: Any,
    target: Any,
    source_test: Any,
    target_test: Any,
    target_labelled: Any,
    columns: Sequence[str],
) -> GivenDomains:
    """List the domains in the arguments of `fit`; `columns` are names of the columns of tables."""
    sources = list_domains(source, columns)
    targets = [] if _is_none(target) else list_domains(target, columns)
    source_tests, target_tests = (
        each if test is same else [] if test is None else list_domains(test, columns)
        for test, same, each in ((source_test, source, sources), (target_test, target, targets))
    )
    few = [] if target_labelled is None else list_domains(target_labelled, columns)
    return GivenDomains(sources, targets, source_tests, target_tests, few)


def without_target_labels(
    on_evaluation: OnEvaluation | None, evaluates: bool
) -> Callable[[int, dict[str, float]], bool] | None:
    """Return a function that passes on the scores for which no labels of the target are needed.

    What it calls may end the training, and labels of the target must not influence that.

    Args:
        on_evaluation: receives step and scores; it ends the training where it returns True.
        evaluates: whether there is anything to evaluate.

    Raises:
        ValueError: it would never be called.
    """
    if on_evaluation is None:
        return None
    if not evaluates:
        raise ValueError(
            "there are no evaluations to call on_evaluation after: give source_test or target_test"
        )

    def call(step: int, scores: dict[str, float]) -> bool:
        known = {name: find_metric(name) for name in scores}
        free = {n: scores[n] for n, kind in known.items() if kind and not kind.needs_target_labels}
        answer = on_evaluation(step, free)
        return isinstance(answer, bool | np.bool_) and bool(answer)

    return call


def _may_be_labels(data: Any) -> bool:
    if hasattr(data, "ndim") or hasattr(data, "__array__"):
        return (data if hasattr(data, "ndim") else np.asarray(data)).ndim in (1, 2)
    listed = isinstance(data, Sequence) and not isinstance(data, str) and bool(data)
    return listed and np.ndim(data[0]) == 0


def _is_letter(item: object) -> bool:
    return isinstance(item, str) and len(item) == 1


def _is_none(target: object) -> bool:
    """Whether there is no target: None, or the word that the command line has for it."""
    return target is None or (isinstance(target, str | Path) and str(target) == NO_TARGET)
