"""A head that predicts the domain of an image, and its loss, for any number of domains.

Between two domains it has one output, the logit of "is target"; between more it has one for each.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output, domain_ids
from dacbn.models import Head, mlp


def domain_mlp(
    num_features: int, widths: tuple[int, ...], num_domains: int, batch_norm: bool = False
) -> Head:
    """Build a head: features (B, num_features) -> logits (B, 1) of two domains, or (B, D).

    Args:
        num_features: number of features.
        widths: widths of the hidden layers.
        num_domains: number of domains D.
        batch_norm: put a BatchNorm into each hidden layer.
    """
    return mlp(num_features, widths, 1 if num_domains <= 2 else num_domains, batch_norm)


def domain_losses(logits: Tensor, domain: int) -> Tensor:
    """Compute the cross-entropy (B,), in nats, of logits (B, 1 or D) of images of one domain."""
    if logits.shape[1] == 1:
        wanted = torch.full_like(logits, float(domain))
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").squeeze(1)
    ids = domain_ids(len(logits), domain, logits.device)
    return F.cross_entropy(logits, ids, reduction="none")


def domain_loss(*logits: Tensor, source_weights: Sequence[Tensor] = ()) -> Tensor:
    """Compute the mean over domains of their cross-entropies, in nats.

    Args:
        logits: for each domain those of its images, (B, 1) or (B, D); one that has no images in
            this batch is left out.
        source_weights: factors (B,) on the cross-entropies of the images of each source.
    """
    return mean_of_domains(
        [
            weigh(domain_losses(each, domain), domain, source_weights).mean()
            for domain, each in enumerate(logits)
            if len(each)
        ]
    )


def split_weights(weights: Tensor | None, sources: Sequence[Output]) -> Sequence[Tensor]:
    """Split weights (B,) of the images of all sources by the sources; None has none."""
    sizes = [len(each.logits) for each in sources]
    return () if weights is None else torch.split(weights, sizes)


def weigh(losses: Tensor, domain: int, source_weights: Sequence[Tensor]) -> Tensor:
    """Multiply the losses (B,) of a domain by its weights, if there are any for it."""
    return losses * source_weights[domain] if domain < len(source_weights) else losses


def domain_accuracy(*logits: Tensor) -> Tensor:
    """Compute the share of images whose domain is predicted; all domains weigh the same.

    Args:
        logits: as in `domain_loss`.
    """
    return mean_of_domains(
        [
            (_predicted(each) == domain).float().mean()
            for domain, each in enumerate(logits)
            if len(each)
        ]
    )


def mean_of_domains(values: list[Tensor]) -> Tensor:
    """Average scalars, one for each domain."""
    return torch.stack(values).mean()


def _predicted(logits: Tensor) -> Tensor:
    return logits.argmax(1) if logits.shape[1] > 1 else (logits >= 0).squeeze(1).long()
