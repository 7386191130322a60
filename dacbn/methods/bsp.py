"""Batch spectral penalisation (BSP): penalise the largest singular values of the features.

Paper: Chen et al., "Transferability vs. Discriminability: Batch Spectral Penalization for
Adversarial Domain Adaptation", ICML 2019, https://proceedings.mlr.press/v97/chen19i.html.

Used together with an adversarial method, as in "cdan + bsp": it adds the squares of the k largest
singular values of each domain's features (B, D), which adversarial training makes dominant.
Differs from the paper: the squares are divided by the batch size, so that batches of different
sizes weigh the same; the default weight is the paper's 1e-4 at its batches of 36.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output, join_domains
from dacbn.limits import Count, NotNegative
from dacbn.losses import widened
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("bsp")
class BSP(Method):
    """Classify the source while the largest singular values of the features stay small.

    Args:
        network: the network to train.
        weight: weight of the sum of squared singular values.
        count: number k of penalised singular values.
    """

    fewest_sources: ClassVar[int | None] = 1

    def __init__(self, network: Network, weight: NotNegative = 3.6e-3, count: Count = 1) -> None:
        super().__init__(network)
        self.weight = weight
        self.count = count

    def transfer_domains(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
    ) -> Step:
        """Compute the sum of the penalties of all sources together and of all targets."""
        roles = [join_domains(each).features for each in (sources, targets) if each]
        penalties = [spectral_penalty(features, self.count) for features in roles]
        return Step({"spectral": self.weight * torch.stack(penalties).sum()}, {})


def spectral_penalty(features: Tensor, count: int) -> Tensor:
    """Compute the sum of the largest squared singular values of features (B, D), divided by B.

    They are the largest eigenvalues of the smaller of the two Gram matrices. Eigenvectors are not
    computed: their gradient, unlike that of eigenvalues, is infinite where two eigenvalues are
    equal.
    """
    with torch.autocast(features.device.type, enabled=False):
        rows = widened(features)
        products = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    # eigvalsh raises on NaN; let it pass, so that the loop reports which loss diverged
    squares: Tensor = torch.linalg.eigvalsh(products.nan_to_num(0, 0, 0))  # ascending
    return squares.flip(0)[:count].sum() / len(features)
