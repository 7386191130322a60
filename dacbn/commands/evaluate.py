"""dacbn evaluate: score a trained run on the test splits of its domains."""

import warnings
from pathlib import Path

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.batch import SOURCE, TARGET
from dacbn.commands.recalibration import check_new_run, save_recalibrated
from dacbn.commands.scores import print_choices, print_scores
from dacbn.datasets import is_flat_folder
from dacbn.plain_text import say
from dacbn.training import IN_MEMORY, StorageError, has_records, read_records, write_json


def evaluate(
    run: Positional[Path],
    target: str | None = None,
    data_root: Path | None = None,
    recalibrate: bool = False,
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
        save: with --recalibrate, write the recalibrated network to this new run folder.
        device: cpu, cuda, or auto.
    """
    check_new_run(save, recalibrate)
    adapter = DomainAdapter.from_pretrained(run, device, data_root)
    config = adapter.config
    target = target or config.target
    if target == IN_MEMORY:
        raise ValueError(f"{run} was trained from arrays: pass --target")
    domains = {"source_test": (config.source, SOURCE), "target_test": (target, TARGET)}
    if is_flat_folder(target, config.columns):
        say(f"{target} is a flat folder without labels: use dacbn predict {run} {target}")
        del domains["target_test"]
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
    if has_records(run) and target == config.target and not recalibrate:
        print_choices(read_records(run))


def _score(adapter: DomainAdapter, domains: dict[str, tuple[str, int]]) -> dict[str, float]:
    """Score domains by name; the source may be gone, as an adapted run does not need it."""
    scores: dict[str, float] = {}
    for name, (domain, cluster_id) in domains.items():
        try:
            if domain == IN_MEMORY:
                raise ValueError("it was given as arrays")
            found = adapter.evaluate(domain, cluster_id)
        except (ValueError, OSError) as error:
            if cluster_id != SOURCE:
                raise
            warnings.warn(f"the source is not scored: {error}", stacklevel=3)
        else:
            scores |= {f"{name}_{measure}": score for measure, score in found.items()}
    return scores


def _known(name: str, scores: dict[str, float]) -> bool:
    return any(score.startswith(name) for score in scores)
