"""A substitute with the cost of the published cluster normalisation layer.

Written from a description of the public implementations, not from their source: for each component,
the densities of all components are computed again, K^2 + K exponentials per element, with full-size
tensors for each intermediate. It is for comparing time and memory only: its output is not
normalised, because it takes a mean over the batch instead of a sum.

Paper: Faye, Azzag, Lebbah and Bouchaffra, "Cluster-Based Normalization Layer for Neural Networks",
2024, https://arxiv.org/abs/2403.16798.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PublishedLayer(nn.Module):
    """A layer with the time and memory of the published one.

    Args:
        num_features: channels C.
        num_clusters: components K.
        eps: added to every divisor.
    """

    def __init__(self, num_features: int, num_clusters: int = 3, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.mean = nn.Parameter(torch.empty(num_clusters, num_features).uniform_(-1, 1))
        self.raw_var = nn.Parameter(torch.empty(num_clusters, num_features).uniform_(0.001, 0.01))
        self.raw_prior = nn.Parameter(torch.empty(num_clusters, 1).uniform_(0.01, 0.99))

    def forward(self, x: Tensor) -> Tensor:
        """Transform x of shape (N, C) or (N, C, *)."""
        rows = x.flatten(2).transpose(1, 2) if x.ndim > 2 else x[:, None]
        prior, var = self.raw_prior.softmax(0), F.softplus(self.raw_var)
        y = torch.zeros_like(rows)
        for k in range(len(prior)):
            total = sum((self._density(rows, prior, var, j) for j in range(len(prior))), y * 0)
            share = self._density(rows, prior, var, k) / (total + self.eps)
            weight = share / (share.sum((0, 1), keepdim=True) + self.eps)
            offset = rows - (weight * rows).mean(1, keepdim=True)
            batch_var = (weight * (weight * rows).square()).mean(1, keepdim=True)
            y = y + share / (prior[k] + self.eps).sqrt() * offset / (batch_var + self.eps).sqrt()
        return (y.transpose(1, 2) if x.ndim > 2 else y[:, 0]).reshape(x.shape)

    def _density(self, rows: Tensor, prior: Tensor, var: Tensor, k: int) -> Tensor:
        distance = (rows - self.mean[k]).square() / (2 * (var[k] + self.eps))
        return prior[k] * (-distance).exp()
