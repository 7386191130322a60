"""Replace the normalisers of a network, such as one of timm's models."""

from dataclasses import dataclass
from typing import Any, get_args

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from dacbn.models.function_kept import keeps_function
from dacbn.models.lost_by_conversion import check_materialised, name_losses
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
from dacbn.norms.contract import trained_statistics
from dacbn.norms.network.trace import feeding_layers
from dacbn.norms.weight_decay import Undecayed
from dacbn.spec import Spec, Term
from dacbn.spelling import spell

IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class ConversionReport:
    """The changes made by a conversion.

    Attributes:
        norm: class name of the new layers.
        kind: the kind of layer that they replace.
        replaced: names of the replaced layers.
        kept: names of the layers of the same kind that were not replaced.
        carried: parts copied to the new layers: "affine" maps, and "statistics" if the old
            layers had any and the new ones use them.
        mapped: names of the convolutions and linear layers whose weights are parametrized.
        notes: what the old layers did and the new ones do not, and remarks of the norm, one line
            each.
    """

    norm: str
    kind: str
    replaced: tuple[str, ...]
    kept: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a one-line summary, followed by the notes."""
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
        norm: a registered name, optionally with options ("ucb_norm(num_clusters=5)"), or a class.
            A plus adds a parametrization of the weights before each normaliser
            ("group_norm + weight_standardization").
        sites: "all", "first", "last", or a pattern of layer names such as "layer1.*"; or "input",
            which replaces nothing and adds a normaliser of the images as `model.input_norm`.
        replaces: "batch_norm", or "layer_norm" for ConvNeXt, ViT and similar models.
        example: images (B, 3, S, S) for the model, for norms that need the whole network.
        options: keyword options of the norm.

    Raises:
        UnknownNameError: no norm or weight parametrization has that name.
        ValueError: the norm has no such option; or the model has no such layer, or none at `sites`,
            so nothing would change.

    Example:
        >>> import timm
        >>> model = timm.create_model("resnet18", num_classes=10)
        >>> print(convert_norms(model, "ucb_norm", num_clusters=3))
        20 BatchNorm layers became UCBNorm; affine carried over
    """
    if replaces not in get_args(Replaces):
        raise ValueError(f"{spell('replaces')} must be one of {', '.join(WORDS)}, got {replaces!r}")
    kind, options, maps = resolve_norm(norm, options)
    if kind.rebuilds_network and sites != "all":
        raise ValueError(
            f"{kind.__name__} initialises the whole network again: use it on an untrained model, "
            f"with {spell('sites', 'all')}"
        )
    if sites == "input":
        if maps:
            raise ValueError(
                "no layer comes before the input: leave out the weight parametrizations"
            )
        batch_norm = nn.BatchNorm2d(IMAGE_CHANNELS).train(model.training)
        insert_at_input(model, kind.from_batch_norm(batch_norm, **options))
        model.no_weight_decay = Undecayed(model)  # type: ignore[assignment]
        return ConversionReport(kind.__name__, "input", ("input_norm",))
    found = find_layers(model, replaces)
    chosen = select(list(found), sites)
    check_materialised({name: found[name] for name in chosen})
    batch_norms = {name: as_batch_norm(found[name]) for name in chosen}
    lost = name_losses([found[name] for name in dict.fromkeys(chosen)], kind)
    layers, changed = put_in_place(model, found, batch_norms, kind, options)
    if changed:
        lost.append(
            f"{changed} of the new layers cannot start with the function of the old ones: train or "
            "recalibrate before predicting"
        )
    mapped = _map_weights(model, list(layers), maps)
    model.no_weight_decay = Undecayed(model)  # type: ignore[assignment]
    return ConversionReport(
        kind.__name__,
        WORDS[replaces],
        tuple(chosen),
        tuple(name for name in found if name not in chosen),
        _carried(kind, layers, batch_norms),
        mapped,
        (*lost, *kind.after_conversion(model, layers, example)),
    )


def resolve_norm(
    norm: str | type[Norm], options: dict[str, Any] | None = None
) -> tuple[type[Norm], dict[str, Any], tuple[Term, ...]]:
    """Look up a norm and its weight parametrizations, and check their options.

    Args:
        norm: see `convert_norms`. The options of a class are checked when it is built.
        options: keyword options, added to those in the text.

    Returns:
        the class, its options, and the terms of the parametrizations.

    Raises:
        UnknownNameError: no norm or weight parametrization has that name.
        ValueError: the text cannot be read, or an option is wrong.
    """
    options = options or {}
    if not isinstance(norm, str):
        if not (isinstance(norm, type) and issubclass(norm, Norm)):
            raise ValueError(f"a norm is a name or a subclass of dacbn.norms.Norm, got {norm!r}")
        return norm, options, ()
    (name, typed), *maps = Spec(norm).terms
    options = {**typed, **options}
    for term in maps:
        weights.check(term)
    return norms.check(Term(name, options)), options, tuple(maps)


def put_in_place(
    model: nn.Module,
    found: dict[str, nn.Module],
    batch_norms: dict[str, _BatchNorm],
    kind: type[Norm],
    options: dict[str, Any],
) -> tuple[dict[str, Norm], int]:
    """Replace the layers named in `batch_norms`.

    Returns:
        the new layers by their names, and how many of them compute something else in evaluation.
    """
    made: dict[int, tuple[Norm, nn.Module]] = {}
    changed = 0
    for (
        name,
        batch_norm,
    ) in batch_norms.items():  # may raise: build all before replacing any
        if id(found[name]) not in made:
            norm = kind.from_batch_norm(batch_norm, **options)
            made[id(found[name])] = norm, in_place_of(found[name], norm)
            changed += not keeps_function(norm, batch_norm)
    for name in batch_norms:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, made[id(found[name])][1])
    new = {id(norm) for norm, _ in made.values()}
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Norm) and id(layer) in new
    }
    return layers, changed


def _map_weights(model: nn.Module, names: list[str], maps: tuple[Term, ...]) -> tuple[str, ...]:
    """Parametrize the weights of the layers before these normalisers."""
    feeding = feeding_layers(model, names) if maps else []
    if maps and not feeding:
        raise ValueError("no convolution or linear layer comes before these normalisers")
    for name in feeding:
        layer = model.get_submodule(name)
        for term in maps:
            weight_map = weights.check(term)(layer.weight, **term.options)
            parametrize.register_parametrization(layer, "weight", weight_map)
    return tuple(feeding)


def _carried(
    kind: type[Norm], layers: dict[str, Norm], batch_norms: dict[str, _BatchNorm]
) -> tuple[str, ...]:
    if kind.rebuilds_network:
        return ()
    carried = []
    affine = any(layer.weight is not None for layer in layers.values())
    if affine and any(batch_norm.affine for batch_norm in batch_norms.values()):
        carried.append("affine")
    uses_statistics = kind.load_batch_norm is not Norm.load_batch_norm
    if uses_statistics and any(
        trained_statistics(batch_norm) is not None for batch_norm in batch_norms.values()
    ):
        carried.append("statistics")
    return tuple(carried)
