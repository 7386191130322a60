"""Swap two clusters of the layers that receive ids."""

import torch
from torch import nn

from dacbn.norms.by_id.cluster_norm import ClusterNorm


@torch.no_grad()
def swap_clusters(model: nn.Module, one: int, other: int) -> None:
    """Let two clusters of every cluster-aware layer take each other's number.

    Args:
        model: is changed.
        one: number of a cluster.
        other: number of another, or of the same.

    Example:
        >>> from dacbn.norms import DomainSpecificBatchNorm
        >>> layer = DomainSpecificBatchNorm(8, num_clusters=3)
        >>> _ = layer.running.mean[2].fill_(5)
        >>> swap_clusters(layer, 1, 2)
        >>> layer.running.mean[:, 0]
        tensor([0., 5., 0.])
    """
    for layer in model.modules():
        if not isinstance(layer, ClusterNorm):
            continue
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.ndim > 1 and len(tensor) == layer.num_clusters:
                tensor[[one, other]] = tensor[[other, one]]
