"""ROID: certain and diverse predictions, two views that agree, and a pull back to the source.

Paper: Marsden, Döbler and Yang, "Universal Test-time Adaptation through Weight Ensembling,
Diversity Weighting, and Prior Correction", WACV 2024, https://arxiv.org/abs/2306.00650.

With probabilities y_i of image i, and m their running mean (momentum 0.9, from 1/C):

- weights: d_i = 1 - cos(y_i, m) and c_i = -H(y_i), both scaled to [0, 1] within the batch; an image
  weighs exp(3 d_i c_i), and nothing if its d_i is below the mean of the batch;
- loss: the mean of weight * soft likelihood ratio, -sum_c y_ic log(y_ic / (1 - y_ic)), with y
  clipped at 0.99; added is the mean of weight * the symmetric cross-entropy (the mean
  of both directions) of the predictions of a random view and of the image;
- after a step of Adam, parameters go `pull` of the way back to those of the source;
- the answers are the probabilities times (prior + s) / (1 + s C), with the prior mean_i y_i and
  s = max(1/B, 1/C) / max_c prior_c, normalised again.

Differs from the paper: views are those of `dacbn.methods.stream_views`; a single image weighs 1,
and its answer is not corrected, since its prior is itself; the authors' code multiplies logits, and
not probabilities, by the prior. Batches of fewer than 64 images also use the stored statistics
(`dacbn.methods.online`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from dacbn.batch import Output
from dacbn.limits import Fraction, Positive
from dacbn.losses import log_probabilities
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.methods.stream_views import random_views
from dacbn.models import Network

MOMENTUM = 0.9  # of the running mean of probabilities
SHARPNESS = 3.0  # of weights: one over the authors' temperature
CLIP, SMALL = 0.99, 1e-5


@test_time_methods.register("roid")
class ROID(OnlineMethod):
    """Learn from certain and diverse predictions, and stay near the source.

    Args:
        network: a trained network, which is not changed.
        lr: learning rate.
        pull: share of the way back to the source that parameters go after each step.
    """

    remembers = ("optimizer", "mean", "generator")

    def __init__(self, network: Network, lr: Positive = 1e-3, pull: Fraction = 0.01) -> None:
        super().__init__(network)
        self.optimizer = Adam(self.parameters, lr=lr)
        self.pull = pull
        self.start = [parameter.detach().clone() for parameter in self.parameters]
        self.mean = torch.full((network.num_classes,), 1 / network.num_classes)
        self.generator = torch.Generator().manual_seed(0)

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs, then take a step."""
        features, logits = self.run(images, cluster_ids)
        p = logits.detach().softmax(1)
        self.mean = self.mean.to(p)
        weights = weigh(p, self.mean)
        self.mean = self.mean.lerp(p.mean(0), 1 - MOMENTUM)
        counts = weights > 0
        self.optimizer.zero_grad(set_to_none=True)
        loss = (weights * soft_likelihood_ratio(logits)).sum() / len(images)
        views = random_views(images, self.generator)[counts]
        seen = self.run(views, cluster_ids[counts], again=True).logits
        agreement = symmetric_cross_entropy(seen, logits[counts])
        loss = loss + (weights[counts] * agreement).sum() / len(images)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.return_a_little()
        return Output(features.detach(), correct_prior(log_probabilities(logits.detach())))

    @torch.no_grad()
    def return_a_little(self) -> None:
        """Pull the parameters back to the source."""
        for parameter, start in zip(self.parameters, self.start, strict=True):
            parameter.lerp_(start, self.pull)


def weigh(p: Tensor, mean: Tensor) -> Tensor:
    """Compute the weight (B,) of images with probabilities (B, C), whose running mean is (C,)."""
    if len(p) == 1:
        return torch.ones_like(p[:, 0])
    diverse = _scaled(1 - F.cosine_similarity(p, mean[None]))
    certain = _scaled((p * p.clamp_min(1e-37).log()).sum(1))
    return (SHARPNESS * diverse * certain).exp().masked_fill(diverse < diverse.mean(), 0)


def soft_likelihood_ratio(logits: Tensor) -> Tensor:
    """Compute the negative soft likelihood ratio (B,) of logits (B, C)."""
    p = log_probabilities(logits).exp().clamp(max=CLIP)
    return -(p * (p / (1 - p) + SMALL).log()).sum(1)


def symmetric_cross_entropy(first: Tensor, second: Tensor) -> Tensor:
    """Compute the mean of both cross-entropies (B,) of two predictions with logits (B, C)."""
    log_p, log_q = log_probabilities(first), log_probabilities(second)
    return -(log_p.exp() * log_q + log_q.exp() * log_p).sum(1) / 2


def correct_prior(log_p: Tensor) -> Tensor:
    """Multiply probabilities, given as logarithms (B, C), by the smoothed prior of the batch."""
    count, classes = log_p.shape
    if count == 1:
        return log_p
    prior = log_p.exp().mean(0)
    smooth = max(1 / count, 1 / classes) / prior.max()
    return (log_p + ((prior + smooth) / (1 + smooth * classes)).log()).log_softmax(1)


def _scaled(values: Tensor) -> Tensor:
    """Scale values (B,) to [0, 1]; equal ones become 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp_min(1e-12)
