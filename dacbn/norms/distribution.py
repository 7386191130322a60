"""Running statistics that are the same on all processes."""

import torch
import torch.distributed as dist
from torch import nn

from dacbn.norms.running_statistics import normaliser_parts

BY_NAME = {"running_mean", "running_var"}  # also in layers of timm's own, such as EvoNorm


@torch.no_grad()
def distribute_statistics(model: nn.Module, average: bool = False) -> None:
    """Give all processes the running statistics of the first, as timm's `distribute_bn` does.

    That goes by the names of BatchNorm's buffers, and passes over those of most other norms. Here
    they are found by the layers of dacbn and torch too. Without a process group nothing is done.

    Args:
        model: any network, converted or not, also wrapped in `DistributedDataParallel`.
        average: the mean over the processes instead. Components of a mixture must have had the same
            start on all of them; counts are those of the first.

    Example:
        >>> distribute_statistics(nn.BatchNorm2d(3))  # of one process: as they were
    """
    if not dist.is_initialized():
        return
    parts = {*normaliser_parts(model)}
    for part in model.modules():
        if part not in parts and not BY_NAME & vars(part)["_buffers"].keys():
            continue
        for buffer in part.buffers(recurse=False):
            sent = buffer.contiguous().clone()  # exchanges take views and strides for memory
            if average and buffer.is_floating_point():
                dist.all_reduce(sent)
                sent /= dist.get_world_size()
            else:
                dist.broadcast(sent, 0)
            buffer.copy_(sent)
