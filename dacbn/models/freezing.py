"""Which part of a backbone is trained."""

from typing import Literal, TypeAlias

from torch import nn

from dacbn.norms.contract import is_normaliser
from dacbn.spelling import spell

Trained: TypeAlias = Literal["auto", "all", "norms", "head"]


def freeze_backbone(backbone: nn.Module, train: Trained) -> None:
    """Freeze the parameters of a backbone that are not to be trained.

    Args:
        backbone: changed in place; `set_statistics` decides how its running statistics move.
        train: "norms" leaves the parameters of its normalisers, "head" none, and others all.

    Raises:
        ValueError: only normalisers are to be trained, and none has parameters.
    """
    if train not in ("norms", "head"):
        return
    layers = [layer for layer in backbone.modules() if is_normaliser(layer)]
    learned = [parameter for layer in layers for parameter in layer.parameters()]
    if train == "norms" and not learned:
        raise ValueError(
            f"{spell('train', 'norms')} needs normalisers with parameters, and the backbone has "
            f"none: choose another {spell('norm')}, or set {spell('train', 'all')}"
        )
    backbone.requires_grad_(False)
    for parameter in learned if train == "norms" else ():
        parameter.requires_grad_(True)
