"""Swap the BatchNorms of a network, such as most timm models have, for another normaliser."""

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms import Norm, norms
from dacbn.registry import parse_spec


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did: the layers replaced and the BatchNorms left as they were, by name."""

    norm: str
    replaced: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        text = f"{len(self.replaced)} BatchNorm layers became {self.norm}"
        return f"{text}, {len(self.kept)} stay" if self.kept else text


def convert_norms(
    model: nn.Module, norm: str | type[Norm], sites: str = "all", **options: Any
) -> ConversionReport:
    """Replace the BatchNorms of model, in place.

    Affine parameters and trained statistics carry over where they have a meaning. timm fuses
    dropout and activation into its BatchNormAct2d; both are kept. Build the model with its
    pretrained weights first, then convert.

    Args:
        model: any module that contains BatchNorm layers.
        norm: a registered name, with options if wished ("ucb_norm(num_clusters=5)"), or a class.
        sites: "all", "first", "last", or a pattern of layer names such as "layer1.*".
        options: keyword options of the norm.

    Raises:
        UnknownNameError: no norm has that name.
        ValueError: the norm has no such option; or model has no BatchNorm, or none at `sites`,
            so nothing would change.
    """
    kind, options = resolve_norm(norm, options)
    found = _batch_norms(model)
    chosen = _select(list(found), sites)
    replacements: dict[int, nn.Module] = {}
    for name in chosen:
        layer = found[name]
        if id(layer) not in replacements:
            replacements[id(layer)] = _replacement(layer, kind, options)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, replacements[id(layer)])
    kept = tuple(name for name in found if name not in chosen)
    return ConversionReport(kind.__name__, tuple(chosen), kept)


def resolve_norm(
    norm: str | type[Norm], options: dict[str, Any]
) -> tuple[type[Norm], dict[str, Any]]:
    """Find the class and the options that a specification and keywords mean together."""
    if not isinstance(norm, str):
        return norm, options
    name, spec_options = parse_spec(norm)
    return norms[name], {**spec_options, **options}


def _batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Find every BatchNorm under every name it has; one used twice must be replaced twice."""
    found = {
        name: layer
        for name, layer in model.named_modules(remove_duplicate=False)
        if name and isinstance(layer, _BatchNorm)
    }
    if not found:
        kinds = Counter(
            type(layer).__name__ for layer in model.modules() if "Norm" in type(layer).__name__
        )
        instead = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        raise ValueError(
            f"{type(model).__name__} has no BatchNorm to replace"
            + (f"; it normalises with {instead}" if instead else "; it has no normaliser at all")
            + ". Choose a backbone with BatchNorm, such as resnet18"
        )
    return found


def _select(names: list[str], sites: str) -> list[str]:
    if sites == "all":
        return names
    if sites in ("first", "last"):
        return [names[0 if sites == "first" else -1]]
    chosen = [name for name in names if fnmatch(name, sites)]
    if not chosen:
        raise ValueError(
            f"no BatchNorm is named like {sites!r}; write all, first, last or a pattern "
            f"that matches some of: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
        )
    return chosen


def _replacement(layer: _BatchNorm, kind: type[Norm], options: dict[str, Any]) -> nn.Module:
    norm = kind.from_batch_norm(layer, **options)
    # timm's BatchNormAct layers are BatchNorms that also apply these two
    fused = [getattr(layer, part) for part in ("drop", "act") if hasattr(layer, part)]
    return nn.Sequential(norm, *fused) if fused else norm
