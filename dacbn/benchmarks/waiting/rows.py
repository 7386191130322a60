"""The form of all rows: what was timed, under which conditions, and the ratio to what."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.timing import time_candidates
from dacbn.benchmarks.waiting.builds import Build


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        folder: an empty one, for files.
        reference: a build to compare with; None leaves such rows out.
        rounds: how often each is timed, alternating with what it is compared with.
        pixels: per side of photographs.
        images: of each domain in a step.
        files: JPEGs to label.
        steps: of the default run; None is the build's own default.
        shapes: of layers.
    """

    folder: Path
    reference: Build | None = None
    rounds: int = 7
    pixels: int = 224
    images: int = 16
    files: int = 1000
    steps: int | None = None
    shapes: tuple[tuple[int, ...], ...] = (
        *((64, 64, 32, 32), (64, 256, 8, 8)),
        *((64, 512, 1, 1), (256, 512)),
    )
    build: Build = field(default_factory=Build)


@dataclass(frozen=True)
class Conditions:
    """What a figure holds for."""

    precision: str
    layout: str
    size: str


NOT_TENSORS = Conditions("-", "-", "-")


def compare(
    what: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    against: str,
    conditions: Conditions,
    rounds: int,
    at_least: float = 0.0,
    warm_up: bool = True,
) -> Row:
    """Time two runs alternately; return the row with the ratio of ours to the other."""
    runs = {against: peer, what: ours}
    timing = time_candidates(runs, rounds, at_least=at_least, title=what, warm_up=warm_up)
    mine = timing[what]
    return {
        **_start(what, conditions),
        **{"seconds": mine.seconds, "low": mine.low, "high": mine.high},
        **{"ratio": mine.ratio, "against": against},
    }


def memory_row(what: str, ours: float, peer: float, against: str, conditions: Conditions) -> Row:
    """Return a row of peak memory in MB, and its ratio."""
    empty = {"seconds": None, "low": None, "high": None}
    name = f"{what}: {ours / 1e6:,.0f} MB"
    return {**_start(name, conditions), **empty, "ratio": ours / peer, "against": against}


def _start(what: str, conditions: Conditions) -> Row:
    return {"what": what, "threads": torch.get_num_threads(), **vars(conditions)}
