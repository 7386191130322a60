"""Backbones by name: the small networks of this package, and all models of timm."""

from collections.abc import Callable
from difflib import get_close_matches

import timm
from torch import nn

from dacbn.models.digits_cnn import DigitsCNN
from dacbn.models.wide_resnet import WideResNet
from dacbn.spelling import spell

OWN: dict[str, Callable[[], nn.Module]] = {
    "digits_cnn": DigitsCNN,
    "wide_resnet28_2": WideResNet,
}


class UnknownBackboneError(ValueError):
    """The backbone name is unknown to this package and to timm."""


class PretrainedWeightsError(RuntimeError):
    """Pretrained weights do not exist or cannot be loaded."""


def create_backbone(name: str, pretrained: bool = False) -> nn.Module:
    """Build a network that maps images (B, 3, S, S) to pooled features (B, head_hidden_size).

    Args:
        name: a name in `OWN`, such as "digits_cnn", or of `timm.list_models()`.
        pretrained: load timm's weights, from its cache or the internet.

    Raises:
        UnknownBackboneError: no backbone has that name.
        PretrainedWeightsError: there are no weights, or they cannot be loaded.

    Example:
        >>> import torch
        >>> backbone = create_backbone("resnet18")
        >>> backbone(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 512])
    """
    if name in OWN:
        if pretrained:
            raise PretrainedWeightsError(f"{name} has no pretrained weights: train from scratch")
        return OWN[name]()
    if not timm.is_model(name):
        known = [*OWN, *timm.list_models()]
        nearest = get_close_matches(name, known, n=3) or ["resnet18", "resnet50", "digits_cnn"]
        raise UnknownBackboneError(
            f"unknown backbone {name!r}. Nearest: {', '.join(nearest)}. Known: "
            f"{', '.join(OWN)} and the {len(known) - len(OWN)} names of timm.list_models()"
        )
    check_tag(name)
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except Exception as error:
        if not pretrained:
            raise
        # timm downloads through several libraries, which raise their own types of errors
        raise PretrainedWeightsError(
            f"cannot load pretrained weights of {name} ({type(error).__name__}). Connect to the "
            "internet once, or copy the Hugging Face cache of a machine that has them, or train "
            f"without {spell('pretrained', True)}"
        ) from error
    return backbone


def check_tag(name: str) -> None:
    """Check that pretrained weights of the backbone have the tag after the point in a name.

    Raises:
        UnknownBackboneError: there is no such tag.
    """
    model, _, tag = name.partition(".")
    known = [each.partition(".")[2] for each in timm.list_pretrained(f"{model}.*")]
    if tag and tag not in known:
        tags = ", ".join(f"{model}.{each}" for each in known) or "none"
        raise UnknownBackboneError(
            f"{model} has no pretrained weights {tag!r}. Known: {tags}; or {model} alone"
        )


def pixel_statistics(backbone: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of RGB pixels that a backbone expects."""
    config = getattr(backbone, "pretrained_cfg", None) or {}
    return config.get("mean", (0.5, 0.5, 0.5)), config.get("std", (0.5, 0.5, 0.5))
