"""Inputs by which torch tests its own normalisers, from its `common_modules`."""

import functools
import sys
import unittest
import warnings
from types import SimpleNamespace

import torch

# torch's test support imports it for a class that compares printed text, which nothing here needs
sys.modules.setdefault("expecttest", SimpleNamespace(TestCase=unittest.TestCase))
with warnings.catch_warnings(action="ignore"):  # that it misses other packages
    from torch.testing._internal.common_modules import module_db

KINDS = ("BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm")


@functools.cache
def norm_inputs():
    """Return activations (N, C, *) that torch's normalisers are tested with, by description."""
    found = {}
    for info in module_db:
        if not any(kind in info.name for kind in KINDS) or "Lazy" in info.name:
            continue
        inputs = info.module_inputs_func(
            info, device="cpu", dtype=torch.float64, requires_grad=False, training=True
        )
        for number, each in enumerate(inputs):
            x = each.forward_input.args[0]
            if 2 <= x.ndim <= 5:
                found[f"{info.name} {number} {tuple(x.shape)}"] = x
    # of each number of dimensions, the smallest and the largest batch: all would take minutes
    ordered = sorted(found.items(), key=lambda item: (item[1].ndim, item[1].numel()))
    ends = {}
    for name, x in ordered:
        ends.setdefault((x.ndim, "smallest"), (name, x))
        if x.numel() < 1000:
            ends[x.ndim, "largest"] = name, x
    return dict(ends.values())
