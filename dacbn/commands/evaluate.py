"""dacbn evaluate: score a trained run on the test splits of its domains."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tyro.conf import Positional

from dacbn.commands.by_turns import by_turns
from dacbn.commands.estimates import describe_estimate, why_no_estimate
from dacbn.commands.held_out import hold_out
from dacbn.commands.other_run import load_other
from dacbn.commands.recalibration import check_new_run, save_recalibrated
from dacbn.commands.scores import print_choices, print_scores
from dacbn.intervals import Interval
from dacbn.plain_text import say
from dacbn.training import StorageError, TrainConfig, write_json
from dacbn.training.metrics import SOURCE_TEST, TARGET_TEST, TEST_ACCURACY
from dacbn.training.score_intervals import interval_of

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter


class Domain(NamedTuple):
    """A domain to score on.

    Attributes:
        kind: "source_test" or "target_test".
        name: its name.
        place: a dataset's name, a folder or a list.
        statistics: name or id of the domain whose statistics normalisers use.
    """

    kind: str
    name: str
    place: str
    statistics: str | int | None


@by_turns
def evaluate(
    run: Positional[Path],
    target: str | None = None,
    domain: str | None = None,
    data_root: Path | None = None,
    recalibrate: bool = False,
    label_shift: str | None = None,
    baseline: Path | None = None,
    second: Path | None = None,
    save: Path | None = None,
    device: str = "auto",
) -> None:
    """Score a trained run on the test splits of its domains; write evaluation.json into it.

    The weights are those of the last step. A table shows, from the records of the training, which
    evaluation each label-free validator would have selected instead. A run without target scores
    the domains of --unseen, or one given by --target.

    Args:
        run: a run folder.
        target: score on this dataset or folder instead of the run's targets.
        domain: with --target, the domain of the run whose statistics are used, for networks whose
            normalisers know the domains; "average" takes the mean of all sources, as a run without
            target does by itself.
        data_root: folder of the named datasets, if it has moved.
        recalibrate: re-estimate normaliser statistics on the target's training images (AdaBN), and
            score both domains before and after; the run's weights file is not changed.
        label_shift: em or bbse, which estimates the shares of the classes among the target's test
            images, and corrects their probabilities; score the target before and after. What dacbn
            predict --label-shift needs is written into the run, if the run lacks it.
        baseline: run folder to compare with on the same images; by default the one without
            adaptation of the comparison that the run is of, if there is one.
        second: run folder of a second training that differs by its seed, for the estimate of the
            accuracy without labels; by default one of the same comparison.
        save: with --recalibrate, write the recalibrated network to this new run folder.
        device: cpu, cuda, or auto.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.datasets import is_flat_folder, is_stream
    from dacbn.label_shift import check_estimator
    from dacbn.norms import require_statistics
    from dacbn.training import IN_MEMORY, has_records, read_records
    from dacbn.training.siblings import find_baseline, find_second

    if label_shift is not None:
        check_estimator(label_shift)
    check_new_run(save, recalibrate)
    adapter = DomainAdapter.from_pretrained(run, device, data_root)
    config = adapter.config
    scored = config.target or config.unseen
    targets = scored if target is None else (target,)
    if IN_MEMORY in targets:
        raise ValueError(f"{run} was trained from arrays: pass --target")
    if domain is not None and target is None:
        raise ValueError("--domain says whose statistics --target has: add --target")
    if not targets:
        say(f"{run} has no target: --target D scores a domain that it was not trained on")
    domains = _sources(config) + _targets(config, target, domain)
    recalibrated = _targets(config, target, domain) if recalibrate else []
    if recalibrate:
        require_statistics(adapter.network)
    _check_own_statistics(adapter, recalibrated)
    for flat in [each for each in targets if is_flat_folder(each, config.columns)]:
        say(f"{flat} is a flat folder without labels: use dacbn predict {run} {flat}")
        domains = [each for each in domains if each.place != flat or each.kind == SOURCE_TEST]
    own = domains if target is None else _sources(config)  # one that is given is refused below
    unscored = [each for each in own if is_stream(each.place)]
    for stream in dict.fromkeys(each.place for each in unscored):
        say(f"{stream} is a stream, which has no test split: it is not scored")
    domains = [each for each in domains if each not in unscored]
    if label_shift is not None and adapter.held_out is None:
        hold_out(adapter, run)
    others = [
        load_other(option, given, (run, adapter), device, data_root, find(run))
        for option, given, find in (
            ("--baseline", baseline, find_baseline),
            ("--second", second, find_second),
        )
    ]
    before = _score(adapter, domains)
    scores = dict(before)
    classes = len(adapter.classes)
    print_scores(before, unseen=not config.target, num_classes=classes)
    about: dict[str, object] = {"source": _shown(config.source), "target": _shown(targets)}
    about |= {"chance": 1 / classes, "intervals": _intervals(before)}
    said: list[str] = []
    if baseline is not None and not any(each.kind == TARGET_TEST for each in domains):
        said.append("--baseline is not compared: no image of the target has a label")
    about |= _against(adapter, others[0], domains, said)
    about |= _estimate(adapter, others[1], _targets(config, target, domain), said)
    if recalibrate:
        for each in recalibrated:
            adapter.recalibrate(each.place, each.statistics)
        after = _score(adapter, [each for each in domains if _known(each.kind, before)])
        say(f"with statistics re-estimated on {', '.join(targets)}:")
        print_scores(after, before, not config.target)
        about |= {"before": before, "after": after}
        # of each domain with the statistics meant for it
        scores |= {name: value for name, value in after.items() if name.startswith(TARGET_TEST)}
    shifted = [each for each in domains if each.kind == TARGET_TEST]
    if label_shift is not None and shifted:
        target_before = {key: value for key, value in scores.items() if key.startswith("target")}
        after = _score(adapter, shifted, label_shift)
        say(f"corrected for label shift by {label_shift}:")
        print_scores(after, target_before, not config.target)
        about |= {"before": before, "after": after, "label_shift": label_shift}
        scores |= after
    try:
        write_json(run / "evaluation.json", {**about, "recalibrated": recalibrate, **scores})
    except StorageError as error:
        if not error.read_only:
            raise
        warnings.warn(f"evaluation.json is not written: {run} is read-only", stacklevel=2)
    if said:
        say(*said)
    if save is not None:
        save_recalibrated(adapter, save)
    elif recalibrate:
        say("--save FOLDER keeps these statistics; dacbn predict --recalibrate uses its own images")
    if has_records(run) and targets == scored and not (recalibrate or label_shift):
        print_choices(read_records(run), unseen=not config.target)


def _intervals(scores: dict[str, float]) -> dict[str, Interval]:
    """Return the intervals of the accuracies, by the names of these."""
    found = {
        name: interval_of(scores, kind) for kind, name in TEST_ACCURACY.items() if name in scores
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def _against(
    adapter: "DomainAdapter",
    baseline: "DomainAdapter | None",
    domains: Sequence[Domain],
    said: list[str],
) -> dict[str, object]:
    """Compare with a baseline on each target that has labels; add lines to `said`."""
    from dacbn.training.against import compare_right, describe_against

    found: dict[str, object] = {}
    if baseline is None:
        return found
    name = str(baseline.config.method)
    for each in (each for each in domains if each.kind == TARGET_TEST):
        rights = (one.right(each.place, each.statistics) for one in (adapter, baseline))
        against = compare_right(*rights)
        said.append(describe_against(each.name, name, against))
        found[each.name] = against._asdict()
    return {"baseline": found}


def _estimate(
    adapter: "DomainAdapter",
    second: "DomainAdapter | None",
    domains: Sequence[Domain],
    said: list[str],
) -> dict[str, object]:
    """Estimate the accuracy on each target without looking at labels; add lines to `said`."""
    from dacbn.datasets import is_stream
    from dacbn.estimates import to_json
    from dacbn.training import IN_MEMORY

    known = [each for each in domains if not is_stream(each.place) and each.place != IN_MEMORY]
    if not known:
        return {}
    if reason := why_no_estimate(adapter):
        said.append(f"no estimate without labels: {reason}")
        return {}
    if second is not None and why_no_estimate(second):
        second = None
    found: dict[str, object] = {}
    for each in known:
        try:
            estimated = adapter.estimate(each.place, each.statistics, second)
        except ValueError as error:  # such as answers that are not finite
            said.append(f"{each.name}: no estimate without labels: {error}")
        else:
            said.append(describe_estimate(each.name, estimated))
            found[each.name] = to_json(estimated)
    return {"estimated": found}


def _sources(config: TrainConfig) -> list[Domain]:
    from dacbn.training import name_places, place_ids

    given = zip(name_places(config), config.source, place_ids(config), strict=False)
    return [Domain(SOURCE_TEST, *each) for each in given]


def _targets(config: TrainConfig, target: str | None, domain: str | None) -> list[Domain]:
    from dacbn.training import name_places, name_unseen, place_ids
    from dacbn.training.domain_names import AVERAGE

    if target is not None and target not in config.target:
        return [Domain(TARGET_TEST, target, target, domain)]
    count = len(config.source)
    if not config.target:
        pairs = zip(name_unseen(config), config.unseen, strict=True)
        return [Domain(TARGET_TEST, name, place, AVERAGE) for name, place in pairs]
    given = zip(name_places(config)[count:], config.target, place_ids(config)[count:], strict=True)
    return [
        Domain(TARGET_TEST, name, place, domain or own)
        for name, place, own in given
        if target in (None, place)
    ]


def _check_own_statistics(adapter: "DomainAdapter", domains: Sequence[Domain]) -> None:
    """Check that no domain's statistics would be overwritten by those of the next.

    Raises:
        ValueError: several domains share statistics.
    """
    from dacbn.models import takes_cluster_ids

    own = {each.statistics for each in domains} if takes_cluster_ids(adapter.network) else {None}
    if len(own) < len(domains):
        places = " or ".join(each.place for each in domains)
        raise ValueError(
            "--recalibrate estimates one set of statistics, which several domains cannot share: "
            f"add --target {places}"
        )


def _shown(places: Sequence[str]) -> str | Sequence[str]:
    return places[0] if len(places) == 1 else places


def _score(
    adapter: "DomainAdapter", domains: Sequence[Domain], label_shift: str | None = None
) -> dict[str, float]:
    """Score domains by name; a source may be gone, as an adapted run does not need it."""
    from dacbn.training import IN_MEMORY, name_scores

    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind, name, place, statistics in domains:
        try:
            if place == IN_MEMORY:
                raise ValueError("it was given as arrays")
            measures = adapter.evaluate(place, statistics, label_shift=label_shift)
        except (ValueError, OSError) as error:
            if kind != SOURCE_TEST:
                raise
            warnings.warn(f"the source is not scored: {error}", stacklevel=3)
        else:
            found.setdefault(kind, {})[name] = measures
    scores: dict[str, float] = {}
    for kind, by_name in found.items():
        scores |= name_scores(kind, by_name)
    return scores


def _known(name: str, scores: dict[str, float]) -> bool:
    return any(score.startswith(name) for score in scores)
