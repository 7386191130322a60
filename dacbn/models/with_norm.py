"""A copy of a trained network whose BatchNorms are replaced by a norm for test time."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.models.convert import put_in_place, resolve_norm
from dacbn.models.network import Network
from dacbn.models.sites import select
from dacbn.norms import BatchNorm, DomainSpecificBatchNorm, FollowsStream, Norm, norms
from dacbn.norms.channel_map import standardising
from dacbn.norms.contract import Need
from dacbn.norms.mixture.arguments import Affine
from dacbn.spelling import spell


@torch.no_grad()
def with_norm(
    network: Network,
    norm: str | type[Norm],
    sites: str = "all",
    cluster_id: int | None = None,
    **options: Any,
) -> Network:
    """Copy a trained network, with a norm for test time in place of its BatchNorms.

    The new layers start from the trained statistics and affine maps. They move only in
    `dacbn.norms.following`.

    Args:
        network: is not changed. Its BatchNorms are those of torch, and of dacbn `batch_norm` and
            `domain_specific_batch_norm`; other normalisers stay.
        norm: see `dacbn.models.convert_norms`.
        sites: which of them to replace: "all", "first", "last", or a pattern of their names.
        cluster_id: the domain (source 0, target 1) whose statistics are taken, where each domain
            has its own.
        options: keyword options of the norm.

    Returns:
        the copy, in evaluation mode.

    Raises:
        UnknownNameError: no norm has that name.
        ValueError: the norm would have to be trained first, or needs the domain of each image; the
            network has no BatchNorm with running statistics, or none at `sites`; or its layers need
            a `cluster_id`.

    Example:
        >>> from dacbn.models import create_network
        >>> network = create_network("digits_cnn", None, num_classes=10)
        >>> copied = with_norm(network, "robust_batch_norm(rate=0.1)")
        >>> sum(type(layer).__name__ == "RobustBatchNorm" for layer in copied.modules())
        2
    """
    kind, options, maps = resolve_norm(norm, options)
    if maps:
        raise ValueError("a trained network keeps its weights: leave out the parametrizations")
    if Need.CLUSTER_IDS in kind.needs:
        raise ValueError(
            f"{kind.__name__} needs the domain of each image, which nobody knows at test time: "
            f"choose a norm without, such as {startable()}"
        )
    copied = copy.deepcopy(network).eval()
    found = _batch_norms(copied)
    chosen = select(list(found), sites)
    plain = {name: _plain(found[name], cluster_id) for name in chosen}
    layers, changed = put_in_place(copied, found, plain, kind, options)
    if kind.rebuilds_network or (changed and not is_for_test_time(kind)):
        raise ValueError(
            f"{kind.__name__} cannot start from trained statistics, the network would have to be "
            f"trained with it: choose one that can, such as {startable()}"
        )
    kind.after_conversion(copied, layers, None)
    return copied.eval()


def is_for_test_time(kind: type[Norm]) -> bool:
    """Whether a norm replaces a trained BatchNorm as it is: it follows a stream, or each batch."""
    return issubclass(kind, FollowsStream) or kind.always_by_batch


def startable() -> str:
    """List the norms for test time."""
    return ", ".join(name for name in norms if is_for_test_time(norms[name]))


def _batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Find the layers that can be replaced, by name."""
    found: dict[str, nn.Module] = {
        name: layer
        for name, layer in model.named_modules(remove_duplicate=False)
        if isinstance(layer, (BatchNorm, DomainSpecificBatchNorm))
        or (isinstance(layer, _BatchNorm) and not isinstance(layer, Norm))
    }
    without = [name for name, layer in found.items() if _keeps_none(layer)]
    if found and not without:
        return found
    if without:
        raise ValueError(
            f"{without[0]} keeps no running statistics to start from: train the network with "
            "track_running_stats=True, or choose other sites"
        )
    kinds = Counter(
        type(layer).__name__ for layer in model.modules() if "Norm" in type(layer).__name__
    )
    others = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "nothing"
    raise ValueError(
        f"the network has no BatchNorm with running statistics to start from; it normalises with "
        f"{others}: train one with {spell('norm', 'batch_norm')}"
    )


def _keeps_none(layer: nn.Module) -> bool:
    return not isinstance(layer, Norm) and layer.running_mean is None


def _plain(layer: nn.Module, cluster_id: int | None) -> _BatchNorm:
    """Return a BatchNorm of torch with the map that a layer is in evaluation."""
    if not isinstance(layer, Norm):
        assert isinstance(layer, _BatchNorm)
        return layer
    if isinstance(layer, BatchNorm):  # one that normalises by the batch has statistics too
        found = standardising(*layer.running_moments(), Affine(layer.weight, layer.bias))
    else:
        found = layer.evaluation_map(cluster_id)
    like = next(value for value in layer.state_dict().values() if value.is_floating_point())
    plain = nn.BatchNorm1d(layer.num_features, layer.eps, device=like.device, dtype=like.dtype)
    state = {"running_mean": found.mean, "running_var": found.var}
    plain.load_state_dict({**state, "weight": found.weight, "bias": found.bias}, strict=False)
    return plain.eval()
