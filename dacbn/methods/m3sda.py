"""Moment matching for multi-source adaptation (M3SDA): match moments of all domains at once.

Paper: Peng et al., "Moment Matching for Multi-Source Domain Adaptation", ICCV 2019,
https://arxiv.org/abs/1812.01754.

With E(X^k) the means of the k-th powers of each feature over a domain's batch, the loss is the
paper's moment distance: the sum over k = 1 … K of the mean over all pairs of a source and a target
of |E(X_s^k) - E(X_t^k)|, plus the mean over all pairs of two sources of |E(X_i^k) - E(X_j^k)|,
where |.| is the Euclidean norm. Sources are matched among themselves too: the paper bounds the
target's error by both kinds of distance.
Differs from the paper: all sources share one classifier, where the paper trains one for each
source and averages their predictions, weighted by how each source alone does; M3SDA-beta, with a
pair of classifiers for each source as in `mcd`, is not included. The default weight suits features
of a few hundred units. With several targets, all are matched with each source; with one source and
one target only their distance is left, and without a target only that between the sources.
"""

from collections.abc import Sequence
from itertools import combinations, product
from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative
from dacbn.losses import widened
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("m3sda")
class M3SDA(Method):
    """Classify the sources while moments of features agree, of sources and targets and of sources.

    Args:
        network: the network to train.
        weight: weight of the moment distance.
        moments: the order K of the highest moment; 2 in the paper.
    """

    fewest_sources: ClassVar[int | None] = 2

    def __init__(self, network: Network, weight: NotNegative = 0.03, moments: Count = 2) -> None:
        super().__init__(network)
        self.weight = weight
        self.moments = moments

    def transfer_domains(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
    ) -> Step:
        """Compute the moment distance of the features of all domains."""
        loss = moment_distance(
            [source.features for source in sources],
            [target.features for target in targets],
            self.moments,
        )
        return Step({"moment_distance": self.weight * loss}, {})


def moment_distance(sources: Sequence[Tensor], targets: Sequence[Tensor], moments: int) -> Tensor:
    """Compute the moment distance of features (B, D) of each domain.

    Args:
        sources: of each source; one without images in this batch is left out.
        targets: of each target.
        moments: the order of the highest moment.

    Example:
        >>> low, high = torch.zeros(5, 1), torch.full((5, 1), 2.0)
        >>> moment_distance([low, high], [low], moments=2)  # (2 + 4) / 2 + (2 + 4)
        tensor(9.)
    """
    rows = [[widened(each) for each in domains if len(each)] for domains in (sources, targets)]
    total = torch.zeros((), device=sources[0].device)
    for order in range(1, moments + 1):
        of_sources, of_targets = ([each.pow(order).mean(0) for each in kind] for kind in rows)
        for pairs in (product(of_sources, of_targets), combinations(of_sources, 2)):
            if distances := [torch.linalg.vector_norm(one - other) for one, other in pairs]:
                total = total + torch.stack(distances).mean()
    return total
