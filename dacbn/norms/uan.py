"""Unsupervised Adaptive Normalization (UAN), the name under which UCB-Norm was published first.

Paper: Faye, Azzag, Lebbah and Feng, "Unsupervised Adaptive Normalization", IJCNN 2024,
https://arxiv.org/abs/2409.04757.
Differs from the paper: see `ucb_norm`, of which this is one reading of the paper.
"""

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.contract import norms
from dacbn.norms.ucb_norm import UCBNorm


@norms.register("uan")
class UAN(UCBNorm):
    """Normalise by a mixture whose assignment is learned: UCB-Norm as it was published as UAN.

    According to UAN's paper, gradient descent learns its parameters, and moving averages of the
    batches follow each component. Both hold only with update="hybrid": gradients update the mixture
    that assigns, averages the moments that normalise in evaluation. Values are assigned one by one,
    and terms are divided by the square root of their prior. The paper has no affine map:
    `affine=False`.

    Args:
        num_features: channels C.
        num_clusters: components K.
        eps: added to every variance.
        momentum: weight of the newest batch in the running moments.
        affine: learn `weight` and `bias`.

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 3,
        eps: Positive = 1e-3,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(
            num_features, num_clusters, eps, momentum, affine, "hybrid", "channel", prior_scale=True
        )
