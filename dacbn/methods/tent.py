"""Tent: test-time adaptation by the entropy of predictions.

Paper: Wang, Shelhamer, Liu, Olshausen and Darrell, "Tent: Fully Test-Time Adaptation by Entropy
Minimization", ICLR 2021, https://arxiv.org/abs/2006.10726.

Normalisers use the statistics of the batch; one step of Adam per batch lowers the mean entropy of
its predictions by changing their affine parameters. Predictions are made before the step.
Differs from the paper: batches of fewer than 64 images also use the stored statistics
(`dacbn.methods.online`). Defaults are the authors' settings for small images.
"""

from torch import Tensor
from torch.optim import Adam

from dacbn.batch import Output
from dacbn.limits import Positive
from dacbn.losses import entropy
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.models import Network


@test_time_methods.register("tent")
class Tent(OnlineMethod):
    """Minimise the entropy of predictions, batch by batch, in the normalisers' affine parameters.

    Args:
        network: a trained network, which is not changed.
        lr: learning rate.
    """

    remembers = ("optimizer",)

    def __init__(self, network: Network, lr: Positive = 1e-3) -> None:
        super().__init__(network)
        self.optimizer = Adam(self.parameters, lr=lr)

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs, then take a step."""
        features, logits = self.run(images, cluster_ids)
        self.optimizer.zero_grad(set_to_none=True)
        entropy(logits).mean().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return Output(features.detach(), logits.detach())
