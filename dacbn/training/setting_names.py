"""The setting that an unknown name means: that of another library, or the nearest in spelling."""

from collections.abc import Sequence
from difflib import get_close_matches

ELSEWHERE = {
    "augment": ("augmentation", "augmentations", "transform", "transforms"),
    "backbone": ("arch", "architecture", "encoder", "model", "model_name", "network"),
    "balance_classes": ("balanced", "class_balance", "class_balanced", "class_weight"),
    "classifier": ("head", "hidden_layer_sizes", "hidden_sizes"),
    "clip_norm": ("clip_grad", "gradient_clip_val", "grad_clip", "max_grad_norm"),
    "image_size": ("img_size", "imgsz", "input_size", "resolution", "size"),
    "lr": ("eta", "learning_rate", "learning_rate_init"),
    "norm": ("normalisation", "normaliser", "normalization", "normalizer"),
    "optimizer": ("opt", "optim", "optimiser", "solver"),
    "precision": ("amp", "dtype", "half", "mixed_precision"),
    "schedule": ("lr_schedule", "lr_scheduler", "sched", "scheduler"),
    "seed": ("random_seed", "random_state"),
    "source_batch_size and target_batch_size": ("batch", "batch_size", "bs"),
    "steps": (
        *("epochs", "max_epochs", "n_epochs", "num_epochs"),
        *("iterations", "iters", "max_iter", "max_iters", "max_steps", "n_iter", "num_steps"),
    ),
    "weight_decay": ("decay", "l2", "wd"),
}
"""The names that scikit-learn, timm, Lightning, Ultralytics and others have for a setting."""


def nearest_setting(name: str, known: Sequence[str]) -> str | None:
    """Return the setting, or settings, that an unknown name may mean; None if none is near."""
    plain = name.lower().replace("-", "_")
    meant = [setting for setting, names in ELSEWHERE.items() if plain in names]
    return next(iter(meant or get_close_matches(plain, known, n=1)), None)
