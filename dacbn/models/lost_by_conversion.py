"""What a layer has or does that the one which replaces it will not: notes of a conversion."""

from collections import Counter
from collections.abc import Iterable
from inspect import signature

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from dacbn.norms import ChannelLayerNorm, Norm, PredictionTimeBatchNorm

# their kinds of BatchNorm and LayerNorm do what is handled here, and no more
KNOWN_MODULES = ("torch.", "timm.", "torchvision.")
TENSORFLOWS = 0.5  # a momentum above is the weight of the past: transformers' MobileNets have 0.997


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


def name_losses(layers: Iterable[nn.Module], kind: type[Norm]) -> list[str]:
    """Name what BatchNorms and LayerNorms lose, a line each.

    Args:
        layers: those that are replaced.
        kind: that of the new layers.
    """
    counts = Counter(text for layer in layers for text in _losses_of(layer, kind))
    return [f"{count} of the old layers {text}" for text, count in counts.items()]


def _keeps_average(kind: type[Norm]) -> bool:
    """Whether a kind of layer normalises by running statistics: such have a momentum."""
    by_batch = issubclass(kind, PredictionTimeBatchNorm)
    return "momentum" in signature(kind).parameters and not by_batch


def _losses_of(layer: nn.Module, kind: type[Norm]) -> list[str]:
    losses, keeps_average = [], _keeps_average(kind)
    if getattr(layer, "weight", None) is not None and layer.bias is None:
        losses.append("had no bias: the new ones learn one, from 0 on")
    if isinstance(layer, _BatchNorm):
        if layer.running_mean is None and keeps_average:
            losses.append(
                "normalised by the batch in evaluation too: the new ones use running statistics, "
                "so train or recalibrate first (prediction_time_batch_norm uses the batch)"
            )
        elif not layer.track_running_stats and keeps_average:  # Lightning's freeze sets it
            losses.append(
                "kept their running statistics (track_running_stats=False): those of the new ones "
                "follow the batches in training"
            )
        elif layer.momentum is None and keeps_average:
            losses.append("averaged all batches (momentum=None): the new ones use their momentum")
        elif keeps_average and (layer.momentum or 0) > TENSORFLOWS:
            losses.append(
                f"had momentum {layer.momentum:g}, the weight of the newest batch: the new ones, "
                "unless given another, know little but the last batch"
            )
        if isinstance(layer, nn.SyncBatchNorm):
            losses.append("shared statistics between processes: the new ones use their own batch")
    elif isinstance(layer, nn.LayerNorm) and not issubclass(kind, ChannelLayerNorm):
        losses.append(
            "standardised each position over its channels, as only channel_layer_norm does: train "
            "the network after this conversion"
        )
    if not type(layer).__module__.startswith(KNOWN_MODULES):
        origin = "BatchNorm" if isinstance(layer, _BatchNorm) else "LayerNorm"
        losses.append(f"were a {type(layer).__name__}: what it does beyond {origin} is lost")
    if parametrize.is_parametrized(layer):
        losses.append("had parametrizations, which are dropped")
    if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks:
        losses.append("had hooks, which are dropped: register them again")
    return losses
