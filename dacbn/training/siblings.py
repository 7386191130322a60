"""Runs of the same comparison: the one without adaptation, and one that differs by its seed."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from dacbn.training.run_info import CONFIG, RunFolderError, read_run_info

COMPARISON = "comparison.json"  # beside the folder of the runs of a comparison
BASELINE = "source_only"
UNLIKE = ("device", "data_root")  # settings that make no other training


def find_baseline(run: Path) -> Path | None:
    """Find the run of the same comparison without adaptation, of the same norm and seed."""
    own = _settings(run)
    if own is None or own["method"] == BASELINE:
        return None
    network = ("norm", "backbone", "input_norm", "cluster_ids", "train")  # no probe of another
    same = (*network, "seed", "source", "target", "steps")
    for other, settings in _others(run):
        if settings["method"] == BASELINE and all(settings[name] == own[name] for name in same):
            return other
    return None


def find_second(run: Path) -> Path | None:
    """Find a run of the same comparison with the same settings and another seed."""
    own = _settings(run)
    if own is None:
        return None
    for other, settings in _others(run):
        if settings["seed"] != own["seed"] and {**settings, "seed": own["seed"]} == own:
            return other
    return None


def _others(run: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the other runs of the comparison with their settings, by name."""
    home = run.resolve().parent
    if not (home.parent / COMPARISON).exists():
        return
    for other in sorted(home.iterdir()):
        if other != run.resolve() and (settings := _settings(other)) is not None:
            yield other, settings


def _settings(run: Path) -> dict[str, Any] | None:
    path = run / CONFIG
    return _read(run, path.stat().st_mtime_ns) if path.exists() else None


@lru_cache(maxsize=4096)  # each run of a comparison is compared with all others
def _read(run: Path, _written: int) -> dict[str, Any] | None:
    with suppress(RunFolderError):
        config = read_run_info(run).config
        return {name: value for name, value in vars(config).items() if name not in UNLIKE}
    return None
