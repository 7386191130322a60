"""Optimisers, and learning rate schedules as factors on the initial rate."""

import math

from torch.optim import SGD, AdamW, Optimizer

from dacbn.methods import Objective
from dacbn.training.config import TrainConfig

DEFAULT_LR = {"adamw": 1e-3, "sgd": 1e-2}
FUSED_ON = ("cpu", "cuda")


def create_optimizer(method: Objective, config: TrainConfig) -> Optimizer:
    """Create the optimiser of all parameters of a method that require a gradient."""
    lr = config.lr if config.lr is not None else DEFAULT_LR[config.optimizer]
    parameters = [p for p in method.parameters() if p.requires_grad]
    fused = all(p.device.type in FUSED_ON for p in parameters) or None
    if config.optimizer == "adamw":
        return AdamW(parameters, lr=lr, weight_decay=config.weight_decay, fused=fused)
    decay = config.weight_decay
    return SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=decay, fused=fused)


def lr_factor(schedule: str, progress: float) -> float:
    """Compute the factor on the initial learning rate at `progress`, the share of steps done.

    "dann" is (1 + 10 progress)^-0.75 of Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818.
    """
    if schedule == "dann":
        return float((1 + 10 * progress) ** -0.75)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    return 1.0


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set each learning rate to `factor` times its initial value."""
    for group in optimizer.param_groups:
        group.setdefault("first_lr", group["lr"])
        group["lr"] = group["first_lr"] * factor
