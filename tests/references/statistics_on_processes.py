"""Networks on two processes that have seen other images, and then have the same statistics."""

import torch
from idioms import IDS, converted
from timm.layers import EvoNorm2dB0
from torch import nn

from dacbn.norms import distribute_statistics

OTHERS = "layers that are found by the names of their statistics"
KINDS = [OTHERS, "batch_norm", "ucb_norm", "mode_norm", "domain_specific_batch_norm"]


def _others():
    return nn.Sequential(nn.InstanceNorm2d(3, track_running_stats=True), EvoNorm2dB0(3))


def distributed(rank):
    """Return the state of each kind before, after those of the first, and after the average."""
    found = {}
    for kind in KINDS:
        model = _others() if kind == OTHERS else converted(kind)
        with torch.no_grad():
            model.train()(torch.randn(len(IDS), 3, 8, 8) + rank)
        own = {name: value.clone() for name, value in model.named_buffers()}
        distribute_statistics(model, average=True)
        average = {name: value.clone() for name, value in model.named_buffers()}
        for name, value in model.named_buffers():
            value.copy_(own[name])
        distribute_statistics(model)
        found[kind] = own, average, dict(model.named_buffers())
    return found
