"""LAME: answers that agree with those to similar images of the batch; nothing is learned.

Paper: Boudiaf, Mueller, Ben Ayed and Bertinetto, "Parameter-free Online Test-time Adaptation", CVPR
2022, https://arxiv.org/abs/2201.05718.

The probabilities y_i of the images of a batch minimise, where p_i are those of the network,

    sum_i KL(y_i || p_i) - weight / 2 * sum_ij w_ij y_i . y_j,

by y_i <- softmax(log p_i + weight * sum_j w_ij y_j), from y = p, until the objective stops falling.
w_ij is 1 if i and j are among each other's `neighbours` nearest images by the cosine of their
features, 1/2 if one is among the other's only, and 0 otherwise.

Where the labels of a stream come in runs, its answers become those of the run; on shuffled images
it gains nothing.
Differs from the paper: neighbours are made symmetric, without which the rounds need not lower any
objective, and the objective has the factor 1/2 that makes the rounds its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative
from dacbn.losses import log_probabilities
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.models import Network

ROUNDS = 100
TOLERANCE = 1e-8  # of the objective, by which it must fall


@test_time_methods.register("lame")
class LAME(OnlineMethod):
    """Let similar images of a batch agree on their class; nothing is learned.

    Args:
        network: a trained network, which is not changed.
        weight: of the agreement.
        neighbours: similar images of each image.
    """

    learns = False
    by_batch = False

    def __init__(self, network: Network, weight: NotNegative = 1.0, neighbours: Count = 5) -> None:
        super().__init__(network)
        self.weight = weight
        self.neighbours = neighbours

    @torch.no_grad()
    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs; logits are the logarithms of the probabilities that agree."""
        features, logits = self.run(images, cluster_ids)
        affinity = nearest(features, self.neighbours)
        return Output(features, agree(log_probabilities(logits), self.weight * affinity))


def nearest(features: Tensor, neighbours: int) -> Tensor:
    """Return the affinities (B, B) of features (B, D), symmetric."""
    count = len(features)
    unit = F.normalize(features.float(), dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-torch.inf)
    found = cosine.topk(min(neighbours, count - 1), 1).indices
    one_way = torch.zeros_like(cosine).scatter_(1, found, 1.0)
    return (one_way + one_way.T) / 2


def agree(log_p: Tensor, affinity: Tensor) -> Tensor:
    """Return log probabilities (B, C) that minimise the objective, from those of the network.

    Args:
        log_p: (B, C).
        affinity: (B, B), symmetric.
    """
    log_y, before = log_p, torch.inf
    for _ in range(ROUNDS):
        newest = (log_p + affinity @ log_y.exp()).log_softmax(1)
        value = objective(newest, log_p, affinity).item()
        if not value < before - TOLERANCE * abs(before if before < torch.inf else value):
            break
        log_y, before = newest, value
    return log_y


def objective(log_y: Tensor, log_p: Tensor, affinity: Tensor) -> Tensor:
    """Compute what the rounds lower."""
    y = log_y.exp()
    return (y * (log_y - log_p)).sum() - (y * (affinity @ y)).sum() / 2
