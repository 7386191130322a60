"""Optimisers, and learning rate schedules as factors on the initial rate."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from dacbn.methods import Objective
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.starting_defaults import starts_as_probe

DEFAULT_LR = {"adamw": 1e-3, "sgd": 1e-2}
PROBE_LR_FACTOR = 0.3  # a probe is good already, and features need to change little
FUSED_ON = ("cpu", "cuda")


def create_optimizer(method: Objective, config: TrainConfig) -> Optimizer:
    """Create the optimiser of all parameters of a method that require a gradient.

    Raises:
        ValueError: there are none.
    """
    lr = config.lr if config.lr is not None else default_lr(config)
    parameters = [p for p in method.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            f"nothing is left to train: {config.method} freezes the classifier, and "
            f"{spell('train', config.train)} the backbone: set {spell('train', 'norms')} or "
            f"{spell('train', 'all')}"
        )
    groups = _split(parameters, method.network.backbone, lr, config.backbone_lr_factor or 1.0)
    fused = all(p.device.type in FUSED_ON for p in parameters) or None
    if config.optimizer == "adamw":
        return AdamW(groups, lr=lr, weight_decay=config.weight_decay, fused=fused)
    decay = config.weight_decay
    sgd = SGD(groups, lr=lr, momentum=0.9, nesterov=True, weight_decay=decay, fused=fused)
    for parameter in parameters:
        # zeros, as good as none: with fused=True, torch 2.14 raises TypeError in a later step if a
        # parameter has its first gradient then, as those of a second stage of training do
        sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def default_lr(config: TrainConfig) -> float:
    """Return the rate of the new layers if none is given."""
    gentle = PROBE_LR_FACTOR if starts_as_probe(config) else 1.0
    return gentle * DEFAULT_LR[config.optimizer]


def _split(
    parameters: list[nn.Parameter], backbone: nn.Module, lr: float, factor: float
) -> list[dict[str, Any]]:
    """Group parameters by their rate, that of the heads first; one group if the rates are equal."""
    if factor == 1:
        return [{"params": parameters}]
    of_backbone = set(backbone.parameters())
    slow = [parameter for parameter in parameters if parameter in of_backbone]
    heads = [parameter for parameter in parameters if parameter not in of_backbone]
    groups = [{"params": heads, "lr": lr}, {"params": slow, "lr": factor * lr}]
    return [group for group in groups if group["params"]]


def lr_factor(schedule: str, progress: float) -> float:
    """Compute the factor on the initial learning rate at `progress`, the share of steps done.

    "dann" is (1 + 10 progress)^-0.75 of Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818.
    """
    if schedule == "dann":
        return float((1 + 10 * progress) ** -0.75)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    return 1.0


def warmup_factor(share: float, step: int, steps: int) -> float:
    """Compute the factor at a step, from 0, of a linear rise over this share of the steps."""
    return min(1.0, (step + 1) / (share * steps)) if share else 1.0


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set each learning rate to `factor` times its initial value."""
    for group in optimizer.param_groups:
        group.setdefault("first_lr", group["lr"])
        group["lr"] = group["first_lr"] * factor
