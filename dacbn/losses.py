"""Functions of logits shared by adaptation methods, in float32 or float64, also under autocast."""

import torch
import torch.nn.functional as F
from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """Return values in float32, or as they are if their type is wider."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def log_probabilities(logits: Tensor) -> Tensor:
    """Compute log softmax over classes of logits (B, C), finite for finite logits."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    return logits.log_softmax(1, dtype=wide)


def entropy(logits: Tensor) -> Tensor:
    """Compute the entropy (B,), in nats, of the predictions with logits (B, C)."""
    log_p = log_probabilities(logits)
    return -(log_p.exp() * log_p).sum(1)


def pseudo_label_loss(logits: Tensor, labels: Tensor, confident: Tensor) -> Tensor:
    """Compute the cross-entropy of confident labels, summed and divided by the whole batch size B.

    The fewer labels are confident, the smaller the loss; it is 0 without any.

    Args:
        logits: (B, C).
        labels: int64 (B,).
        confident: bool (B,), whether a label is used.
    """
    losses = F.nll_loss(log_probabilities(logits), labels, reduction="none")
    return (losses * confident).mean()
