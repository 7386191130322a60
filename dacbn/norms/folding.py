"""Fold normalisers into plain BatchNorms of torch, where in evaluation they are such maps."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.channel_map import NoChannelMapError
from dacbn.norms.contract import Norm
from dacbn.norms.moving_statistics import whole_normalisers

BY_DIMS: dict[int, Any] = {
    **{2: nn.BatchNorm1d, 3: nn.BatchNorm1d},
    **{4: nn.BatchNorm2d, 5: nn.BatchNorm3d},
}


@torch.no_grad()
def fold(model: nn.Module, example: Tensor, cluster_id: int | None = None) -> nn.Module:
    """Copy a network, or a layer, with its normalisers as BatchNorms of torch.

    In evaluation, the copy computes the same, and needs neither dacbn nor cluster ids. Tools for
    BatchNorm work on it, such as those that fuse it with the convolution before it.

    Args:
        model: a network or a layer, which is not changed.
        example: an input of `model`, on its device; the shapes of the activations decide between
            BatchNorm1d, BatchNorm2d and BatchNorm3d.
        cluster_id: the domain that the copy is for (source 0, target 1), for layers that know
            domains.

    Returns:
        the copy, in evaluation mode.

    Raises:
        NoChannelMapError: a layer is no affine map per channel in evaluation; the text has its
            name and the reason.
        ValueError: a layer knows no such domain, or the network shows its layers other ids.

    Example:
        >>> from dacbn.norms import DomainSpecificBatchNorm
        >>> layer = DomainSpecificBatchNorm(4)
        >>> fold(layer, torch.randn(8, 4, 5, 5), cluster_id=1)
        BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """
    folded = fold_normalisers(copy.deepcopy(model), cluster_id, example.dtype)
    folded(example)
    return folded


@torch.no_grad()
def fold_normalisers(
    model: nn.Module, cluster_id: int | None, dtype: torch.dtype = torch.float32
) -> nn.Module:
    """Replace the normalisers of a network, in place, by BatchNorms of any number of dimensions.

    One becomes a BatchNorm1d, 2d or 3d when it first runs.

    Args:
        model: a network or a layer.
        cluster_id: see `fold`.
        dtype: of a layer without parameters and statistics.

    Returns:
        the network, in evaluation mode; or what replaces the layer.
    """
    ids = getattr(model, "id_source", "domain")
    if ids != "domain":
        raise ValueError(f"the network shows its layers {ids} ids: only domain ids can be folded")
    whole = whole_normalisers(model)
    new = {id(layer): _fold_layer(name, layer, cluster_id, dtype) for name, layer in whole.items()}
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        parent, _, leaf = name.rpartition(".")
        if id(layer) not in new:
            continue
        if not name:
            return new[id(layer)]
        setattr(model.get_submodule(parent), leaf, new[id(layer)])
    return model.eval()


class AnyBatchNorm(_BatchNorm):
    """A BatchNorm that becomes torch's for the dimensions of its first input, as lazy ones do."""

    def _check_input_dim(self, input: Tensor) -> None:
        self.__class__ = BY_DIMS[input.ndim]


def _fold_layer(
    name: str, layer: nn.Module, cluster_id: int | None, dtype: torch.dtype
) -> nn.Module:
    called = f"{name} ({type(layer).__name__})" if name else type(layer).__name__
    if not isinstance(layer, Norm):
        if layer.running_mean is None:
            raise _refused(called, "normalises by the batch in evaluation too")
        return layer
    try:
        found = layer.evaluation_map(cluster_id)
    except NoChannelMapError as error:
        raise _refused(called, str(error)) from None
    held = next((t for t in layer.state_dict().values() if t.is_floating_point()), None)
    folded = AnyBatchNorm(
        layer.num_features,
        layer.eps,
        getattr(layer, "momentum", 0.1),
        device=None if held is None else held.device,
        dtype=dtype if held is None else held.dtype,
    )
    state = {"running_mean": found.mean, "running_var": found.var}
    folded.load_state_dict({**state, "weight": found.weight, "bias": found.bias}, strict=False)
    return folded.eval()


def _refused(called: str, reason: str) -> NoChannelMapError:
    return NoChannelMapError(
        f"{called} {reason}, so in evaluation it is no affine map per channel, as BatchNorm is"
    )
