"""Pass cluster ids to the layers that need them.

A timm backbone's forward takes images only, so the cluster-aware layers of one network share one
context, to which the network binds the ids during a forward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dacbn.norms.mixture.routes import is_exported, is_recorded


class ClusterContext:
    """The cluster ids of the batch in the current forward pass of one network."""

    def __init__(self) -> None:
        self._ids: Tensor | None = None

    @property
    def ids(self) -> Tensor:
        """The bound ids: int64 (B,).

        Raises:
            RuntimeError: none are bound.
        """
        if self._ids is None:
            raise RuntimeError(
                "this normaliser needs cluster ids: call network(images, cluster_ids=ids) with one "
                "id per image (source 0, target 1); around a backbone without a Network, write "
                "with share_context(backbone).bind(ids): backbone(images)"
            )
        return self._ids

    @contextmanager
    def bind(self, ids: Tensor | None) -> Iterator[None]:
        """Bind ids, int64 (B,), within a `with` block.

        Raises:
            ValueError: ids are not a one-dimensional tensor of integers.
        """
        if ids is not None and (ids.ndim != 1 or ids.dtype != torch.int64):
            raise ValueError(
                f"cluster ids must be int64 of shape (B,), got {ids.dtype} of shape "
                f"{tuple(ids.shape)}; flatten them or call .long()"
            )
        self._ids = ids
        try:
            yield
        finally:
            self._ids = None  # a stale id would be silently wrong; a missing one raises


def share_context(model: nn.Module) -> ClusterContext:
    """Give every cluster-aware layer of model the same context, and return it.

    Example:
        >>> from dacbn.norms import SCBNorm
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), SCBNorm(8), nn.ReLU())
        >>> images, ids = torch.randn(4, 3, 8, 8), torch.tensor([0, 0, 1, 1])
        >>> with share_context(model).bind(ids):
        ...     model(images).shape
        torch.Size([4, 8, 6, 6])
    """
    context = ClusterContext()
    for layer in model.modules():
        if isinstance(getattr(layer, "context", None), ClusterContext):
            layer.context = context  # type: ignore[assignment]
    return context


def check_ids(ids: Tensor, num_samples: int, num_clusters: int) -> None:
    """Check that the ids fit the batch and the layer.

    The range is checked on the CPU only, because reading it on a GPU would synchronise; and not
    while a tracer records, which cannot read it. A graph that is exported has ids of its own.

    Raises:
        ValueError: there is not one id per sample, or an id is outside [0, num_clusters).
    """
    if is_exported():
        return
    if ids.shape[0] != num_samples:
        raise ValueError(
            f"got {ids.shape[0]} cluster ids for {num_samples} images: one each is needed"
        )
    if ids.is_cpu and not is_recorded(ids) and len(ids):
        low, high = ids.aminmax()
        if low < 0 or high >= num_clusters:
            raise ValueError(
                f"cluster ids must be in [0, {num_clusters}), got {int(low)} to {int(high)}; "
                "raise num_clusters or renumber them"
            )
