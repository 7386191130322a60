"""Open a run folder for a training: claim it, and check what it holds before anything changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dacbn.spelling import spell
from dacbn.training.checkpoint import load_checkpoint
from dacbn.training.claim import claim
from dacbn.training.config import TrainConfig
from dacbn.training.run_info import CONFIG, check_resumable


@contextmanager
def claim_run(
    run: str | Path | None, resume: bool, config: TrainConfig
) -> Iterator[tuple[Path | None, dict[str, Any] | None]]:
    """Claim a run folder that is empty or can be resumed; yield it and its checkpoint.

    Args:
        run: the folder; None yields None.
        resume: whether the training in the folder, if any, goes on.
        config: the settings.

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
    folder = Path(run)
    with claim(folder):
        if not resume and (folder / CONFIG).exists():
            raise ValueError(
                f"{folder} holds a run: pass {spell('resume', True)}, or choose another folder"
            )
        checkpoint = load_checkpoint(folder) if resume else None
        if checkpoint is not None:
            check_resumable(folder, config)
            if checkpoint["step"] > config.steps:
                raise ValueError(
                    f"{folder} has trained {checkpoint['step']} steps already: "
                    f"{spell('steps')} must be at "
                    f"least that, got {config.steps}"
                )
        yield folder, checkpoint
