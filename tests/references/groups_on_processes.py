"""Four processes whose normalisers share statistics in two groups of two."""

import torch
import torch.distributed as dist
from torch import nn

from dacbn.norms import BatchNorm
from dacbn.processes import batch_rows, by_rows
from dacbn.processes.launch import _share
from dacbn.processes.membership import sharing
from dacbn.training.several_processes import average_statistics


def in_groups(rank):
    """Run a layer on a batch in groups; return what each group should have seen, and the layer."""
    torch.manual_seed(0)
    x = torch.randn(10, 3, dtype=torch.float64) * 2 + 1
    layer = BatchNorm(3).double().train()
    counts = []

    def run(own):
        counts.append(batch_rows(own))
        return layer(own)

    with sharing(_share(2)):
        y = by_rows(run, x)
        own = {name: each.clone() for name, each in layer.state_dict().items()}
        average_statistics(nn.ModuleList([layer]))
    assert dist.get_world_size() == 4
    return {"output": y, "rows": counts, "own": own, "averaged": layer.state_dict(), "x": x}
