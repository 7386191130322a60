"""Backbones by name: the small networks of this package, and all models of timm."""

import logging
from difflib import get_close_matches
from typing import Literal, NamedTuple

from torch import nn

from dacbn.models.own_backbones import own_backbones
from dacbn.models.own_module import MARK, missing_module
from dacbn.models.weights_cache import Published, check_reachable, cure, find_published
from dacbn.models.weights_file import LOCAL_DIR, PretrainedWeightsError, load_weights_file

LOG = logging.getLogger(__name__)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of timm, too
Pretrained = bool | Literal["cached"]


class UnknownBackboneError(ValueError):
    """The backbone name is unknown to this package and to timm."""


def create_backbone(
    name: str,
    pretrained: Pretrained = False,
    weights: str | None = None,
    weights_sha256: str | None = None,
) -> nn.Module:
    """Build a network that maps images (B, 3, S, S) to pooled features (B, head_hidden_size).

    Args:
        name: a name in `own_backbones`, such as "digits_cnn", or of `timm.list_models()`.
        pretrained: load timm's weights, from the caches of this machine or else the internet;
            "cached" never asks the internet.
        weights: load this file instead; see `load_weights_file`.
        weights_sha256: what the file must hash to; None takes any file.

    Raises:
        UnknownBackboneError: no backbone has that name.
        OwnModuleError: the name stands for a module that was not given.
        PretrainedWeightsError: there are no weights, or they cannot be loaded.

    Example:
        >>> import torch
        >>> backbone = create_backbone("resnet18")
        >>> backbone(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 512])
    """
    if weights is None and pretrained:
        return _create_pretrained(name, find_pretrained(name, pretrained))
    check_name(name)
    backbone = own_backbones[name]() if name in own_backbones else _create_timms(name)
    if weights is not None:
        LOG.info(load_weights_file(backbone, name, weights, weights_sha256))
    return backbone


def check_name(name: str) -> None:
    """Check that a backbone has this name.

    Raises:
        UnknownBackboneError: none has.
        OwnModuleError: the name stands for a module that was not given.
    """
    if name.startswith(MARK):
        raise missing_module(name)
    if name in own_backbones:
        return
    import timm

    if not timm.is_model(name):
        raise UnknownBackboneError(_unknown(name))
    architecture, _, tag = name.partition(".")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError:
        tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{architecture}.*")]
        raise UnknownBackboneError(
            f"{architecture} has no weights tagged {tag!r}: choose from {', '.join(tags)}, or "
            "leave the tag out"
        ) from None


def find_pretrained(name: str, pretrained: Pretrained = True) -> Published:
    """Find timm's weights of a backbone in the caches, or see that they can be downloaded.

    Raises:
        UnknownBackboneError, OwnModuleError: see `check_name`.
        PretrainedWeightsError: there are none, or they are neither here nor within reach.
    """
    check_name(name)
    if name in own_backbones:
        raise PretrainedWeightsError(f"{name} has no pretrained weights: train from scratch")
    published = find_published(name)
    if published.cached is None and pretrained == "cached":
        raise PretrainedWeightsError(f"the pretrained weights of {name} are not on this machine")
    if published.cached is None:
        check_reachable(published, name)
    return published


def _create_timms(name: str) -> nn.Module:
    import timm

    backbone: nn.Module = timm.create_model(name, num_classes=0)
    return backbone


def _unknown(name: str) -> str:
    import timm

    if name.startswith(LOCAL_DIR):
        return f"{name} names no network: give its name as backbone, and {name} as weights"
    own, known = [*own_backbones], [*own_backbones, *timm.list_models()]
    nearest = get_close_matches(name, known, n=3) or ["resnet18", "resnet50", "digits_cnn"]
    return (
        f"unknown backbone {name!r}. Nearest: {', '.join(nearest)}. Known: "
        f"{', '.join(own)} and the {len(known) - len(own)} names of timm.list_models()"
    )


def _create_pretrained(name: str, published: Published) -> nn.Module:
    import timm

    overlay = None
    if published.cached is not None:
        # a file, since the hub's own cache asks the network whether there is a newer one
        overlay = {"file": str(published.cached), **published.options}
        LOG.info("pretrained weights of %s taken from %s", name, published.cached)
    try:
        backbone: nn.Module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0
        )
    except Exception as error:
        # timm reads and downloads through several libraries, which raise their own types of errors
        remedy = cure(published) if overlay is None else f"delete {published.cached}"
        raise PretrainedWeightsError(
            f"cannot load pretrained weights of {name} ({type(error).__name__}): {remedy}"
        ) from error
    return backbone


class TrainedSize(NamedTuple):
    """The pixels per side that pretrained weights were trained at, and whether others work."""

    pixels: int
    fixed: bool


def trained_size(name: str) -> TrainedSize | None:
    """Return the size of the images of timm's pretrained weights; None if timm does not know it."""
    import timm

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # it knows the model, but no weights of this tag
        return None
    if config is None or not config.input_size:
        return None
    return TrainedSize(int(config.input_size[-1]), bool(config.fixed_input_size))


def pixel_statistics(backbone: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of RGB pixels that a backbone expects.

    They are those of its `pretrained_cfg`, which timm's models have; a module without one is taken
    to expect those of ImageNet, as torchvision's weights do.
    """
    config = getattr(backbone, "pretrained_cfg", None) or {}
    mean, std = config.get("mean"), config.get("std")
    return tuple(mean or IMAGENET_MEAN), tuple(std or IMAGENET_STD)
