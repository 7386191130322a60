"""Runs beside a run: the one without adaptation, and one that differs by its seed."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from dacbn.training.run_info import CONFIG, IN_MEMORY, RunFolderError, read_run_info

COMPARISON = "comparison.json"  # beside the folder of the runs of a comparison
BASELINE = "source_only"
NETWORK = ("norm", "backbone", "input_norm", "cluster_ids", "train")  # "train": no probe of another
SAME = (*NETWORK, "seed", "source", "target", "steps")
UNLIKE = ("device", "data_root")  # settings that make no other training


def find_baseline(run: Path) -> Path | None:
    """Find the run without adaptation of the same norm and seed.

    It is of the same comparison, or, of a run of none, in the same folder and alike in all
    settings but the method. Trainings from arrays are of the same images only in a comparison.
    """
    own = _settings(run)
    if own is None or own["method"] == BASELINE:
        return None
    same: Collection[str] = SAME
    if not _is_compared(run):
        if IN_MEMORY in (*own["source"], *own["target"]):  # of other arrays, perhaps
            return None
        same = own.keys() - {"method"}
    for other, settings in _others(run, compared=False):
        if settings["method"] == BASELINE and all(settings[name] == own[name] for name in same):
            return other
    return None


def find_second(run: Path) -> Path | None:
    """Find a run of the same comparison with the same settings and another seed."""
    own = _settings(run)
    if own is None:
        return None
    for other, settings in _others(run, compared=True):
        if settings["seed"] != own["seed"] and {**settings, "seed": own["seed"]} == own:
            return other
    return None


def _is_compared(run: Path) -> bool:
    return (run.resolve().parent.parent / COMPARISON).exists()


def _others(run: Path, compared: bool) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the other runs in the same folder with their settings, by name.

    Args:
        run: a run folder.
        compared: yield those of a comparison only.
    """
    if compared and not _is_compared(run):
        return
    found: list[Path] = []
    with suppress(OSError):  # a folder that this user may not list
        found = sorted(run.resolve().parent.iterdir())
    for other in found:
        if other != run.resolve() and (settings := _settings(other)) is not None:
            yield other, settings


def _settings(run: Path) -> dict[str, Any] | None:
    with suppress(OSError):  # none, or one that this user may not read
        return _read(run, (run / CONFIG).stat().st_mtime_ns)
    return None


@lru_cache(maxsize=4096)  # each run of a comparison is compared with all others
def _read(run: Path, _written: int) -> dict[str, Any] | None:
    with suppress(RunFolderError, OSError):
        config = read_run_info(run).config
        return {name: value for name, value in vars(config).items() if name not in UNLIKE}
    return None
