"""Layers against torch's BatchNorm, each in a loop of its own, where caches stay warm."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dacbn.benchmarks.layers import Row, step_of
from dacbn.benchmarks.waiting.rows import Conditions, Options, compare
from dacbn.norms import norms
from dacbn.norms.mixture.kernels.choose import find_kernels

SPECS = (
    "ucb_norm(num_clusters=2, assign='sample')",
    "ucb_norm(num_clusters=3, assign='position')",
    "ucb_norm(num_clusters=3)",
    "mixture_norm",
    "mode_norm",
)
PLAIN = "ucb_norm(num_clusters=3)"
SWITCH = "DACBN_KERNEL"
LOOP = 0.2  # seconds in which only one layer runs


def time_layers(options: Options) -> list[Row]:
    """Time layers forward and backward in training, in float32."""
    rows: list[Row] = []
    for shape in options.shapes:
        x = torch.randn(shape).mul_(1.5).add_(0.5).requires_grad_()
        kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
        peer = step_of(kind(shape[1]), x)
        conditions = Conditions("float32", "contiguous", str(shape))
        for spec in SPECS:
            ours = step_of(norms.build(spec, shape[1]), x)
            rows.append(
                compare(spec, ours, peer, "torch's BatchNorm", conditions, options.rounds, LOOP)
            )
        with _without_compiler():
            name, ours = f"{PLAIN} without a compiler", step_of(norms.build(PLAIN, shape[1]), x)
            rows.append(
                compare(name, ours, peer, "torch's BatchNorm", conditions, options.rounds, LOOP)
            )
    return rows


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Let torch compute mixtures in a `with` block, as where nothing can be compiled."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "plain"
    find_kernels.cache_clear()
    try:
        yield
    finally:
        del os.environ[SWITCH]
        if before is not None:
            os.environ[SWITCH] = before
        find_kernels.cache_clear()
