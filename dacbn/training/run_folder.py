"""Open a run folder for a training: claim it, and check what it holds before anything changes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dacbn.processes import lead, leads
from dacbn.spelling import spell
from dacbn.training.checkpoint import CHECKPOINT, MODEL, load_checkpoint
from dacbn.training.claim import claim
from dacbn.training.config import TrainConfig
from dacbn.training.records import has_records, read_records
from dacbn.training.run_info import CONFIG, check_resumable, read_run_info


@contextmanager
def claim_run(
    run: str | Path | None, resume: bool, config: TrainConfig
) -> Iterator[tuple[Path | None, dict[str, Any] | None]]:
    """Claim a run folder that is empty or can be resumed; yield it and its checkpoint.

    Args:
        run: the folder; None yields None.
        resume: whether the training in the folder, if any, goes on.
        config: the settings.

    On several processes the first claims it; the others get its checkpoint, and no folder.

    Raises:
        ValueError: the folder holds a run, or one that these settings cannot continue.
        FolderInUseError: another process works in it.
        RunFolderError: its checkpoint is damaged.
        StorageError: it cannot be written.
    """
    if run is None:
        if resume:
            raise ValueError("resume=True continues a run: give its folder as run=")
        yield None, None
        return
    with ExitStack() as stack:
        claimed = _claimed(Path(run), resume, config)
        folder, checkpoint = lead(lambda: stack.enter_context(claimed))
        yield (folder if leads() else None), checkpoint


@contextmanager
def _claimed(
    folder: Path, resume: bool, config: TrainConfig
) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    with claim(folder):
        if not resume and (folder / CONFIG).exists():
            raise ValueError(
                f"{folder} holds a run: pass {spell('resume', True)}, or choose another folder"
            )
        checkpoint = load_checkpoint(folder) if resume else None
        finished = resume and checkpoint is None and is_finished(folder)
        if checkpoint is not None or finished:
            check_resumable(folder, config)
        if finished and config.steps != read_run_info(folder).config.steps:
            raise ValueError(
                f"{folder} has lost its {CHECKPOINT}: it is finished, and cannot go on to another "
                f"number of {spell('steps')}; train into another folder"
            )
        if checkpoint is not None and checkpoint["step"] > config.steps:
            raise ValueError(
                f"{folder} has trained {checkpoint['step']} steps already: {spell('steps')} must "
                f"be at least that, got {config.steps}"
            )
        yield folder, checkpoint


def is_finished(folder: Path) -> bool:
    """Whether the training in a folder has recorded its last step, and left weights."""
    if not all((folder / name).exists() for name in (CONFIG, MODEL)) or not has_records(folder):
        return False
    records = read_records(folder)
    return bool(records) and records[-1]["step"] >= read_run_info(folder).config.steps
