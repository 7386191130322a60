"""Layers against torch's BatchNorm, each in a loop of its own, where caches stay warm."""

import torch
from torch import nn

from dacbn.benchmarks.layers import Row, step_of
from dacbn.benchmarks.waiting.rows import Conditions, Options, compare
from dacbn.norms import norms

SPECS = (
    "ucb_norm(num_clusters=2, assign='sample')",
    "ucb_norm(num_clusters=3, assign='position')",
    "ucb_norm(num_clusters=3)",
    "mixture_norm",
    "mode_norm",
)
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
    return rows
