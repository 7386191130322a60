"""Swap the normalisers of a network, such as those of timm's models, for others."""

from dataclasses import dataclass
from inspect import signature
from typing import Any, get_args

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from dacbn.models.sites import (
    WORDS,
    Replaces,
    as_batch_norm,
    find_layers,
    in_place_of,
    insert_at_input,
    select,
)
from dacbn.norms import Norm, norms, weights
from dacbn.norms.contract import has_statistics
from dacbn.norms.network.trace import feeding_layers
from dacbn.registry import parse_spec, split_sum

IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
        norm: what the layers became.
        kind: what they were.
        replaced: their names.
        kept: the names of those of the same kind that stay as they were.
        carried: what the new layers took over: "affine" maps, and "statistics" where the old layers
            had any and the new ones have a use for them.
        mapped: names of the convolutions and linear layers whose weights are parametrized.
        notes: what else there is to know.
    """

    norm: str
    kind: str
    replaced: tuple[str, ...]
    kept: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in a line, and the notes in lines of their own."""
        text = f"{len(self.replaced)} {self.kind} layers became {self.norm}"
        if self.kept:
            text += f", {len(self.kept)} stay"
        text += f"; {' and '.join(self.carried) or 'nothing'} carried over"
        if self.mapped:
            text += f"; the weights of {len(self.mapped)} layers before them are mapped"
        return "\n".join([text, *self.notes])


def convert_norms(
    model: nn.Module,
    norm: str | type[Norm],
    sites: str = "all",
    replaces: Replaces = "batch_norm",
    example: Tensor | None = None,
    **options: Any,
) -> ConversionReport:
    """Replace the normalisers of model, in place.

    Affine parameters and trained statistics carry over where they have a meaning. timm fuses
    dropout and activation into its BatchNormAct2d; both are kept. Build the model with its
    pretrained weights first, then convert.

    Args:
        model: any module that contains BatchNorm layers.
        norm: a registered name, with options if wished ("ucb_norm(num_clusters=5)"), or a class.
            Maps of the weights before each normaliser follow with a plus
            ("group_norm + weight_standardization").
        sites: "all", "first", "last", or a pattern of layer names such as "layer1.*"; or "input",
            which replaces nothing and adds a normaliser of the images as `model.input_norm`.
        replaces: "batch_norm", or "layer_norm" for ConvNeXt, ViT and their like.
        example: images (B, 3, S, S) as model takes them, for norms that look at the whole network.
        options: keyword options of the norm.

    Raises:
        UnknownNameError: no norm or weight map has that name.
        ValueError: the norm has no such option; or model has no such layer, or none at `sites`,
            so nothing would change.

    Example:
        >>> import timm
        >>> model = timm.create_model("resnet18", num_classes=10)
        >>> print(convert_norms(model, "ucb_norm", num_clusters=3))
        20 BatchNorm layers became UCBNorm; affine carried over
    """
    if replaces not in get_args(Replaces):
        raise ValueError(f"replaces must be one of {', '.join(WORDS)}, got {replaces!r}")
    kind, options, maps = resolve_norm(norm, options)
    for map_kind, map_options in maps:
        _check_map(map_kind, map_options)
    if kind.makes_over and sites != "all":
        raise ValueError(
            f"{kind.__name__} makes over a whole network: convert a new one with sites='all'"
        )
    if sites == "input":
        if maps:
            raise ValueError("no layer comes before the input: leave the weight maps out")
        alike = nn.BatchNorm2d(IMAGE_CHANNELS).train(model.training)
        insert_at_input(model, kind.from_batch_norm(alike, **options))
        return ConversionReport(kind.__name__, "input", ("input_norm",))
    found = find_layers(model, replaces)
    chosen = select(list(found), sites)
    alikes = {name: as_batch_norm(found[name]) for name in chosen}
    layers = _replace(model, found, alikes, kind, options)
    mapped = _map_weights(model, list(layers), maps)
    return ConversionReport(
        kind.__name__,
        WORDS[replaces],
        tuple(chosen),
        tuple(name for name in found if name not in chosen),
        _carried(kind, layers, alikes),
        mapped,
        tuple(kind.finish(model, layers, example)),
    )


def resolve_norm(
    norm: str | type[Norm], options: dict[str, Any] | None = None
) -> tuple[type[Norm], dict[str, Any], list[tuple[type[nn.Module], dict[str, Any]]]]:
    """Find what a specification and keywords mean together.

    Returns:
        the class, its options, and the maps of weights with theirs.

    Raises:
        UnknownNameError: no norm or weight map has that name.
        ValueError: the specification cannot be read.
    """
    options = options or {}
    if not isinstance(norm, str):
        return norm, options, []
    first, *others = (parse_spec(term) for term in split_sum(norm))
    maps = [(weights[name], map_options) for name, map_options in others]
    return norms[first[0]], {**first[1], **options}, maps


def _replace(
    model: nn.Module,
    found: dict[str, nn.Module],
    alikes: dict[str, _BatchNorm],
    kind: type[Norm],
    options: dict[str, Any],
) -> dict[str, Norm]:
    """Put new layers at the names of `alikes`; return them by the names they have now."""
    made: dict[int, tuple[Norm, nn.Module]] = {}
    for name, alike in alikes.items():  # all are made before the first is put in: it may raise
        if id(found[name]) not in made:
            norm = kind.from_batch_norm(alike, **options)
            made[id(found[name])] = norm, in_place_of(found[name], norm)
    for name in alikes:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, made[id(found[name])][1])
    new = {id(norm) for norm, _ in made.values()}
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Norm) and id(layer) in new
    }


def _map_weights(
    model: nn.Module, names: list[str], maps: list[tuple[type[nn.Module], dict[str, Any]]]
) -> tuple[str, ...]:
    """Parametrize the weights that feed the normalisers of these names."""
    feeding = feeding_layers(model, names) if maps else []
    if maps and not feeding:
        raise ValueError("no convolution or linear layer feeds these normalisers")
    for name in feeding:
        layer = model.get_submodule(name)
        for kind, options in maps:
            parametrize.register_parametrization(layer, "weight", kind(layer.weight, **options))
    return tuple(feeding)


def _check_map(kind: type[nn.Module], options: dict[str, Any]) -> None:
    known = [option for option in signature(kind).parameters if option != "weight"]
    for option in options:
        if option not in known:
            only = f"only {', '.join(known)}" if known else "nor any other"
            raise ValueError(f"{kind.__name__} has no option {option!r}, {only}")


def _carried(
    kind: type[Norm], layers: dict[str, Norm], alikes: dict[str, _BatchNorm]
) -> tuple[str, ...]:
    if kind.makes_over:
        return ()
    carried = []
    affine = any(layer.weight is not None for layer in layers.values())
    if affine and any(alike.affine for alike in alikes.values()):
        carried.append("affine")
    uses_statistics = kind.carry_over is not Norm.carry_over
    if uses_statistics and any(has_statistics(alike) for alike in alikes.values()):
        carried.append("statistics")
    return tuple(carried)
