"""What a BatchNorm has or does that the layer which replaces it will not: notes of a conversion."""

from collections import Counter
from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

KNOWN_MODULES = ("torch.", "timm.")  # their kinds of BatchNorm do what is handled here, and no more


def check_materialised(layers: dict[str, nn.Module]) -> None:
    """Raise if a layer does not know its channels yet.

    Raises:
        ValueError: it does not.
    """
    for name, layer in layers.items():
        if isinstance(layer, LazyModuleMixin) and layer.has_uninitialized_params():
            raise ValueError(
                f"{name} is a {type(layer).__name__} whose channels are not known yet: run the "
                "model on a batch before you convert it"
            )


def name_losses(layers: Iterable[nn.Module], keeps_average: bool) -> list[str]:
    """Name what unusual BatchNorms lose, a line each.

    Args:
        layers: those that are replaced.
        keeps_average: whether the new layers normalise by running statistics in evaluation.
    """
    counts = Counter(text for layer in layers for text in _losses_of(layer, keeps_average))
    return [f"{count} of the old layers {text}" for text, count in counts.items()]


def _losses_of(layer: nn.Module, keeps_average: bool) -> list[str]:
    losses = []
    if isinstance(layer, _BatchNorm):
        if layer.affine and layer.bias is None:
            losses.append("had no bias: the new ones learn one, from 0 on")
        if not layer.track_running_stats and keeps_average:
            losses.append(
                "normalised by the batch in evaluation too: the new ones use running statistics, "
                "so train or recalibrate first (prediction_time_batch_norm uses the batch)"
            )
        elif layer.momentum is None and keeps_average:
            losses.append("averaged all batches (momentum=None): the new ones use their momentum")
        if isinstance(layer, nn.SyncBatchNorm):
            losses.append("shared statistics between processes: the new ones use their own batch")
        if not type(layer).__module__.startswith(KNOWN_MODULES):
            losses.append(f"were a {type(layer).__name__}: what it does beyond BatchNorm is lost")
    if parametrize.is_parametrized(layer):
        losses.append("had parametrizations, which are dropped")
    if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks:
        losses.append("had hooks, which are dropped: register them again")
    return losses
