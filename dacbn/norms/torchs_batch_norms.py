"""Let torch's own BatchNorms, and those built on them, see a batch that processes share as one.

`torch.nn.SyncBatchNorm` does so on GPUs alone, and leaves its mark in a saved network.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.contract import Norm
from dacbn.norms.shared_batch_norm import batch_norm
from dacbn.processes import is_shared


@contextmanager
def shared_batch_norms(model: nn.Module) -> Iterator[None]:
    """Let torch's BatchNorms in a model normalise by the rows of all processes in a `with` block.

    The layers are of another class meanwhile, with the same parameters, buffers and names;
    afterwards they are what they were. dacbn's layers need none of this.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        >>> with shared_batch_norms(model):
        ...     isinstance(model[1], nn.BatchNorm1d), type(model[1]) is nn.BatchNorm1d
        (True, False)
        >>> type(model[1]) is nn.BatchNorm1d
        True
    """
    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, _BatchNorm)
        and not isinstance(layer, (Norm, nn.SyncBatchNorm, _Shared))
    ]
    kinds: list[Any] = [type(layer) for layer in layers]
    for layer, kind in zip(layers, kinds, strict=True):
        layer.__class__ = _shared(kind)
    try:
        yield
    finally:
        for layer, kind in zip(layers, kinds, strict=True):
            layer.__class__ = kind


class _Shared(nn.Module):
    """What a BatchNorm inherits from while processes share its batches."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor
        if not is_shared():
            y = super().forward(x)
            return y
        with _SharedKernel():
            y = super().forward(x)
        return y


@cache
def _shared(kind: Any) -> Any:
    return type(kind.__name__, (_Shared, kind), {})


class _SharedKernel(TorchFunctionMode):
    """Call ours in place of torch's function, whatever else a kind of BatchNorm does."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is not F.batch_norm:
            return func(*args, **(kwargs or {}))
        return _by_all_rows(*args, **(kwargs or {}))


def _by_all_rows(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise as torch's function does, which refuses a batch of one value per channel."""
    if training and values_per_channel(x) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {x.size()} "
            "as the only one of all processes"
        )
    return batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
