"""Find the normalisation layers of a network, and fit new normalisers to replace them."""

from collections import Counter
from fnmatch import fnmatch
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms import Norm
from dacbn.spelling import spell

Replaces = Literal["batch_norm", "layer_norm"]
KINDS: dict[Replaces, type[nn.Module]] = {"batch_norm": _BatchNorm, "layer_norm": nn.LayerNorm}
WORDS: dict[Replaces, str] = {"batch_norm": "BatchNorm", "layer_norm": "LayerNorm"}


class ChannelsLast(nn.Module):
    """Apply a normaliser to activations with channels last, (N, *, C), as in transformers.

    Args:
        norm: normaliser of activations (N, C, *).
    """

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, *, C)."""
        y: Tensor = self.norm(x.movedim(-1, 1))
        return y.movedim(1, -1)


def find_layers(model: nn.Module, replaces: Replaces) -> dict[str, nn.Module]:
    """Find every layer of a kind; a layer that is used twice is found under both names.

    Raises:
        ValueError: the model has none; the text lists the layers that it has instead.
    """
    found = {
        name: layer
        for name, layer in model.named_modules(remove_duplicate=False)
        if name and isinstance(layer, KINDS[replaces]) and not isinstance(layer, Norm)
    }
    if not found:
        raise ValueError(_none_to_replace(model, replaces))
    return found


def select(names: list[str], sites: str) -> list[str]:
    """Select from the names of layers: "all", "first", "last" or a pattern.

    Raises:
        ValueError: nothing matches the pattern.
    """
    if sites == "all":
        return names
    if sites in ("first", "last"):
        return [names[0 if sites == "first" else -1]]
    chosen = [name for name in names if fnmatch(name, sites)]
    if not chosen:
        raise ValueError(
            f"no normaliser is named like {sites!r}; write all, first, last, input or a pattern "
            f"that matches some of: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
        )
    return chosen


def as_batch_norm(layer: nn.Module) -> _BatchNorm:
    """Return a BatchNorm with the layer's affine parameters and, if any, its statistics.

    Raises:
        ValueError: it is a LayerNorm over more than the channels.
    """
    if isinstance(layer, _BatchNorm):
        return layer
    assert isinstance(layer, nn.LayerNorm)
    if len(layer.normalized_shape) > 1:
        raise ValueError(
            f"a LayerNorm over {layer.normalized_shape} learns a weight for each position: only "
            "those over the channels alone are replaced, so choose sites without it"
        )
    like = torch.empty(0) if layer.weight is None else layer.weight
    batch_norm = nn.BatchNorm1d(
        layer.normalized_shape[0],
        layer.eps,
        affine=layer.elementwise_affine,
        device=like.device,
        dtype=like.dtype,
    )
    with torch.no_grad():
        for ours, theirs in ((batch_norm.weight, layer.weight), (batch_norm.bias, layer.bias)):
            if theirs is not None and ours is not None:
                ours.copy_(theirs)
                ours.requires_grad_(theirs.requires_grad)
    return batch_norm.train(layer.training)


def in_place_of(layer: nn.Module, norm: Norm) -> nn.Module:
    """Keep the channel order, dropout and activation of the replaced layer.

    States load by the old names too: those of the layer that was replaced, and those in which a
    layer without dropout and activation was the first of three.
    """
    last = isinstance(layer, nn.LayerNorm) and not _takes_channels_first(layer)
    placed = ChannelsLast(norm) if last else norm
    # timm's BatchNormAct and LayerNormAct layers have dropout and activation fused in
    fused = [getattr(layer, part) for part in ("drop", "act") if hasattr(layer, part)]
    if all(isinstance(part, nn.Identity) for part in fused):
        if fused:
            placed._register_load_state_dict_pre_hook(_names_without_place)  # type: ignore[no-untyped-call]
        return placed
    together = nn.Sequential(placed, *fused)
    together._register_load_state_dict_pre_hook(_names_with_place)  # type: ignore[no-untyped-call]
    return together


def _names_without_place(state: dict[str, Any], prefix: str, *_: object) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}0.")]:
        state[prefix + name.removeprefix(f"{prefix}0.")] = state.pop(name)


def _names_with_place(state: dict[str, Any], prefix: str, *_: object) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        key = name.removeprefix(prefix)
        if not key.partition(".")[0].isdecimal():
            state[f"{prefix}0.{key}"] = state.pop(name)


@torch.no_grad()
def _takes_channels_first(layer: nn.LayerNorm) -> bool:
    """Whether a LayerNorm takes (N, C, H, W): timm, torchvision and others have such subclasses."""
    (channels,) = layer.normalized_shape
    like = torch.empty(0) if layer.weight is None else layer.weight
    try:
        layer.forward(like.new_zeros(1, channels, 1, channels + 1))
    except RuntimeError:
        return False
    return True


def insert_at_input(model: nn.Module, norm: Norm) -> None:
    """Insert a normaliser before the network's first layer, as `model.input_norm`."""
    if hasattr(model, "input_norm"):
        raise ValueError(f"{type(model).__name__} already has an input_norm: insert only one")
    model.add_module("input_norm", norm)
    model.register_forward_pre_hook(_normalise_input)


def _normalise_input(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    images, *others = inputs
    return (model.input_norm(images), *others)  # type: ignore[operator]


def _none_to_replace(model: nn.Module, replaces: Replaces) -> str:
    kinds = Counter(
        type(layer).__name__ for layer in model.modules() if "Norm" in type(layer).__name__
    )
    instead = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    text = f"{type(model).__name__} has no {WORDS[replaces]} to replace"
    text += f"; it normalises with {instead}" if instead else "; it has no normaliser"
    for other, kind in KINDS.items():
        theirs = (layer for layer in model.modules() if not isinstance(layer, Norm))
        if other != replaces and any(isinstance(layer, kind) for layer in theirs):
            return (
                f"{text}. Replace those by {spell('replaces', other)}, or choose another backbone"
            )
    if any(isinstance(layer, Norm) for layer in model.modules()):
        return f"{text}: those are dacbn's, as it was converted already. Convert a new model"
    return (
        f"{text}. Choose a backbone with BatchNorm, such as resnet18, or keep its own: "
        f"{spell('norm')} None"
    )
