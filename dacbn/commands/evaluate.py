"""dacbn evaluate: score a trained run on the test splits of its domains."""

import warnings
from pathlib import Path

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.batch import SOURCE, TARGET
from dacbn.commands.scores import print_choices, print_scores
from dacbn.datasets import is_flat_folder
from dacbn.plain_text import say
from dacbn.training import IN_MEMORY, StorageError, has_records, read_records, write_json


def evaluate(
    run: Positional[Path],
    target: str | None = None,
    data_root: Path | None = None,
    recalibrate: bool = False,
    device: str = "auto",
) -> None:
    """Score a trained run on the test splits of its domains; write evaluation.json into it.

    The weights are those of the last step. A table shows, from the records of the training, which
    evaluation each label-free validator would have selected instead.

    Args:
        run: a run folder.
        target: score on this dataset or folder instead of the run's target.
        data_root: folder of the named datasets, if it has moved.
        recalibrate: re-estimate normaliser statistics on the target's training images before
            scoring (AdaBN); the run's weights file is not changed.
        device: cpu, cuda, or auto.
    """
    adapter = DomainAdapter.from_pretrained(run, device, data_root)
    config = adapter.config
    target = target or config.target
    if target == IN_MEMORY:
        raise ValueError(f"{run} was trained from arrays: pass --target")
    scores = {}
    try:
        if config.source == IN_MEMORY:
            raise ValueError("it was given as arrays")
        scores["source_test"] = adapter.evaluate(config.source, SOURCE)
    except (ValueError, OSError) as error:  # an adapted run needs no source
        warnings.warn(f"the source is not scored: {error}", stacklevel=2)
    if recalibrate:
        adapter.recalibrate(target)
    if is_flat_folder(target):
        say(f"{target} is a flat folder without labels: use dacbn predict {run} {target}")
    else:
        scores["target_test"] = adapter.evaluate(target, TARGET)
    flat = {f"{name}_{key}": value for name, row in scores.items() for key, value in row.items()}
    print_scores(flat)
    about = {"source": config.source, "target": target, "recalibrated": recalibrate}
    try:
        write_json(run / "evaluation.json", {**about, **flat})
    except StorageError as error:
        if not error.read_only:
            raise
        warnings.warn(f"evaluation.json is not written: {run} is read-only", stacklevel=2)
    if has_records(run) and target == config.target and not recalibrate:
        print_choices(read_records(run))
