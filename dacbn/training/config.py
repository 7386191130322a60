"""Everything a training run is made of: the one place for defaults."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

import torch


@dataclass(frozen=True)
class TrainConfig:
    """A training run. The defaults adapt scikit-learn's digits to colour in a few minutes."""

    source: str = "digits"
    """Labelled domain: a dataset's name, or a folder with one sub-folder per class."""
    target: str = "color_digits"
    """Domain to adapt to: a name or a folder; labels, where it has any, only evaluate."""
    data_root: Path = Path("data")
    """Folder of the named datasets, laid out as torchvision does."""
    download: bool = False
    """Download named datasets that are missing."""
    image_size: int | None = None
    """Pixels per side; None takes what suits the domains (32 for digits, 224 for folders)."""
    augment: Literal["auto", "digits", "photos", "none"] = "auto"
    """Random views of both domains; "digits" never mirrors, auto decides by the domains."""
    on_unreadable: Literal["skip", "raise"] = "skip"
    """What to do with images that cannot be decoded."""

    backbone: str = "digits_cnn"
    """digits_cnn, or any timm model with BatchNorm."""
    pretrained: bool = False
    """Start from timm's pretrained weights."""
    norm: str | None = "ucb_norm(num_clusters=2, assign='sample')"
    """Replaces the backbone's BatchNorms; options as in "ucb_norm(num_clusters=5)"."""
    norm_sites: str = "all"
    """Which normalisers are replaced: all, first, last, or a pattern such as "layer1.*"."""
    norm_replaces: Literal["batch_norm", "layer_norm"] = "batch_norm"
    """What is replaced; layer_norm for ConvNeXt, ViT and their like."""
    input_norm: str | None = None
    """A normaliser of the images, before the backbone, such as instance_norm."""
    cluster_ids: Literal["domain", "random", "swapped"] = "domain"
    """What cluster-aware normalisers are told; random and swapped ones are controls."""
    classifier: tuple[int, ...] = ()
    """Widths of the classifier's hidden layers, each with a BatchNorm; none makes it linear."""
    method: str = "dann"
    """How to adapt; options as in "dann(weight=0.1)"."""

    steps: int = 1500
    """Optimiser steps."""
    source_batch_size: int = 64
    """Source images per step."""
    target_batch_size: int = 64
    """Target images per step."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    lr: float | None = None
    """Learning rate at the start; None means 0.001 for AdamW and 0.01 for SGD."""
    schedule: Literal["constant", "cosine", "dann"] = "cosine"
    """How the rate falls; dann is the paper's (1 + 10 p)^-0.75."""
    weight_decay: float = 1e-4
    """Weight decay (decoupled for AdamW)."""
    clip_norm: float | None = None
    """Largest norm of the gradient; None does not clip."""
    ema_decay: float | None = None
    """Keep a moving average of the weights and use it for evaluation and export; shorter at first,
    when weights move fast."""

    seed: int = 0
    """Of the initial weights, the order of the images and their views."""
    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto takes a GPU if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the forward and backward pass in training; auto means bfloat16 where the GPU or CPU
    computes in it by itself."""
    compile: bool = False
    """Compile the network with torch.compile; slower to start, faster on a GPU."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""
    eval_every: int = 200
    """Steps between evaluations on the test splits; 0 evaluates at the end only."""
    checkpoint_every: int = 100
    """Steps between checkpoints; 0 keeps one at the end only."""
    snapshot_every: int = 0
    """Steps between snapshots of the network for `dacbn analyse`; 0 keeps none."""
    validators: tuple[str, ...] = (
        *("source_accuracy", "entropy", "information_maximisation", "bnm", "class_ami", "snd"),
    )
    """Label-free scores computed at each evaluation, for `dacbn evaluate`; see dacbn list."""
    tensorboard: bool = False
    """Write TensorBoard events too."""

    def check(self) -> None:
        """Refuse what cannot work; no `__post_init__`, whose errors tyro would garble.

        Raises:
            ValueError: a number is out of its range, or a choice is none of the known ones.
        """
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        for name in ("steps", "source_batch_size", "target_batch_size", "log_every", "image_size"):
            self._require(name, lambda number: number >= 1, "at least 1")
        for width in self.classifier:
            if width < 1:
                raise ValueError(f"widths of classifier must be at least 1, got {width}")
        for name in ("seed", "eval_every", "checkpoint_every", "snapshot_every", "weight_decay"):
            self._require(name, lambda number: number >= 0, "at least 0")
        for name in ("lr", "clip_norm"):
            self._require(name, lambda number: 0 < number < math.inf, "positive and finite")
        self._require("ema_decay", lambda number: 0 <= number < 1, "in [0, 1)")

    def _require(self, name: str, holds: Callable[[float], bool], wanted: str) -> None:
        """Check a number, unless it is None."""
        number = getattr(self, name)
        if number is not None and not holds(number):
            raise ValueError(f"{name} must be {wanted}, got {number}")

    @classmethod
    def from_options(cls, **options: Any) -> Self:
        """Build a configuration from keyword options, and check it.

        Raises:
            ValueError: there is no such option, and the text names the nearest; or its value cannot
                work.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                nearest = get_close_matches(name, known, n=1)
                hint = f" Did you mean {nearest[0]}?" if nearest else ""
                raise ValueError(f"unknown option {name!r}.{hint} Known: {', '.join(known)}")
        config = cls(**options)
        config.check()
        return config

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return {**dataclasses.asdict(self), "data_root": str(self.data_root)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Read back what `to_json` returned."""
        read = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return cls.from_options(**{**read, "data_root": Path(fields["data_root"])})


def choose_device(name: str) -> torch.device:
    """Turn a device's name, or "auto", into a device.

    Raises:
        ValueError: torch does not know it, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"cannot use device {name!r} on this machine ({str(error).splitlines()[0]}); "
            "choose --device cpu or auto"
        ) from error
    return device
