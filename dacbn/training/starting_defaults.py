"""The defaults of random and of pretrained weights; `automatic` says why they differ."""

from typing import Any

from dacbn.spec import Spec
from dacbn.training.config import TrainConfig

# what config.json of earlier versions, without these settings, means
FROM_SCRATCH: dict[str, Any] = {
    "statistics": "follow",
    "bottleneck": 0,
    "classifier_temperature": None,
    "classifier_start": "random",
    "train": "all",
    "backbone_lr_factor": 1.0,
    "warmup": 0.0,
}
FINE_TUNING: dict[str, Any] = {
    **FROM_SCRATCH,
    "statistics": "frozen",
    "classifier_start": "centres",
    "backbone_lr_factor": 0.15,
    "warmup": 0.1,
}
# defaults of other settings, whose value in `TrainConfig` is for random weights
FINE_TUNING_DEFAULTS: dict[str, Any] = {
    "norm": None,
    "method": Spec("mcc + dann"),
    "augment": "colour",
    "steps": 150,
    "source_batch_size": 32,
    "target_batch_size": 32,
}
HEAD_DEFAULTS: dict[str, Any] = {"norm": None, "method": Spec("mcc"), "steps": 300}


def starting_defaults(pretrained: bool, train: str = "auto") -> dict[str, Any]:
    """Return the defaults that differ from those of `TrainConfig`, by the name of the setting.

    Args:
        pretrained: whether the weights are.
        train: what of the backbone is trained.
    """
    if not pretrained:
        return {}
    return HEAD_DEFAULTS if train == "head" else FINE_TUNING_DEFAULTS


def starts_as_probe(config: TrainConfig) -> bool:
    """Whether the classifier is fitted to features before the first step."""
    return config.classifier_start in ("probe", "centres")


def starts_pretrained(config: TrainConfig) -> bool:
    """Whether the backbone starts from pretrained weights, of timm or of a file."""
    return config.pretrained or config.weights is not None
