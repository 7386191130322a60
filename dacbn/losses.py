"""What several adaptation methods compute from logits; float32 or wider under autocast too."""

import torch
import torch.nn.functional as F
from torch import Tensor


def log_probabilities(logits: Tensor) -> Tensor:
    """Compute log softmax over classes of logits (B, C), finite for finite logits."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    return logits.log_softmax(1, dtype=wide)


def entropy(logits: Tensor) -> Tensor:
    """Compute the entropy (B,), in nats, of the predictions with logits (B, C)."""
    log_p = log_probabilities(logits)
    return -(log_p.exp() * log_p).sum(1)


def pseudo_label_loss(logits: Tensor, labels: Tensor, confident: Tensor) -> Tensor:
    """Compute the cross-entropy with labels some of which count, averaged over all.

    Few that count pull little, and none gives 0.

    Args:
        logits: (B, C).
        labels: int64 (B,).
        confident: bool (B,), where a label counts.
    """
    losses = F.nll_loss(log_probabilities(logits), labels, reduction="none")
    return (losses * confident).mean()
