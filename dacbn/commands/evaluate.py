"""dacbn evaluate: score a trained run on the test splits of its domains."""

import warnings
from pathlib import Path

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.batch import SOURCE, TARGET
from dacbn.commands.held_out import hold_out
from dacbn.commands.recalibration import check_new_run, save_recalibrated
from dacbn.commands.scores import print_choices, print_scores
from dacbn.datasets import is_flat_folder
from dacbn.label_shift import check_estimator
from dacbn.plain_text import say
from dacbn.training import IN_MEMORY, StorageError, has_records, read_records, write_json


def evaluate(
    run: Positional[Path],
    target: str | None = None,
    data_root: Path | None = None,
    recalibrate: bool = False,
    label_shift: str | None = None,
    save: Path | None = None,
    device: str = "auto",
) -> None:
    """Score a trained run on the test splits of its domains; write evaluation.json into it.

    The weights are those of the last step. A table shows, from the records of the training, which
    evaluation each label-free validator would have selected instead.

    Args:
        run: a run folder.
        target: score on this dataset or folder instead of the run's target.
        data_root: folder of the named datasets, if it has moved.
        recalibrate: re-estimate normaliser statistics on the target's training images (AdaBN), and
            score both domains before and after; the run's weights file is not changed.
        label_shift: em or bbse, which estimates the shares of the classes among the target's test
            images, and corrects their probabilities; score the target before and after. What dacbn
            predict --label-shift needs is written into the run, if the run lacks it.
        save: with --recalibrate, write the recalibrated network to this new run folder.
        device: cpu, cuda, or auto.
    """
    if label_shift is not None:
        check_estimator(label_shift)
    check_new_run(save, recalibrate)
    adapter = DomainAdapter.from_pretrained(run, device, data_root)
    config = adapter.config
    target = target or config.target
    if target == IN_MEMORY:
        raise ValueError(f"{run} was trained from arrays: pass --target")
    domains = {"source_test": (config.source, SOURCE), "target_test": (target, TARGET)}
    if is_flat_folder(target):
        say(f"{target} is a flat folder without labels: use dacbn predict {run} {target}")
        del domains["target_test"]
    if label_shift is not None and adapter.held_out is None:
        hold_out(adapter, run)
    before = _score(adapter, domains)
    scores = dict(before)
    print_scores(before)
    about: dict[str, object] = {"source": config.source, "target": target}
    if recalibrate:
        adapter.recalibrate(target)
        after = _score(adapter, {name: domains[name] for name in domains if _known(name, before)})
        say(f"with statistics re-estimated on {target}:")
        print_scores(after, before)
        about |= {"before": before, "after": after}
        # of each domain with the statistics meant for it
        scores |= {name: value for name, value in after.items() if name.startswith("target_test")}
    if label_shift is not None and "target_test" in domains:
        target_before = {key: value for key, value in scores.items() if key.startswith("target")}
        after = _score(adapter, {"target_test": domains["target_test"]}, label_shift)
        say(f"corrected for label shift by {label_shift}:")
        print_scores(after, target_before)
        about |= {"before": before, "after": after, "label_shift": label_shift}
        scores |= after
    try:
        write_json(run / "evaluation.json", {**about, "recalibrated": recalibrate, **scores})
    except StorageError as error:
        if not error.read_only:
            raise
        warnings.warn(f"evaluation.json is not written: {run} is read-only", stacklevel=2)
    if save is not None:
        save_recalibrated(adapter, save)
    elif recalibrate:
        say("--save FOLDER keeps these statistics; dacbn predict --recalibrate uses its own images")
    if has_records(run) and target == config.target and not (recalibrate or label_shift):
        print_choices(read_records(run))


def _score(
    adapter: DomainAdapter, domains: dict[str, tuple[str, int]], label_shift: str | None = None
) -> dict[str, float]:
    """Score domains by name; the source may be gone, as an adapted run does not need it."""
    scores: dict[str, float] = {}
    for name, (domain, cluster_id) in domains.items():
        try:
            if domain == IN_MEMORY:
                raise ValueError("it was given as arrays")
            found = adapter.evaluate(domain, cluster_id, label_shift=label_shift)
        except (ValueError, OSError) as error:
            if cluster_id != SOURCE:
                raise
            warnings.warn(f"the source is not scored: {error}", stacklevel=3)
        else:
            scores |= {f"{name}_{measure}": score for measure, score in found.items()}
    return scores


def _known(name: str, scores: dict[str, float]) -> bool:
    return any(score.startswith(name) for score in scores)
