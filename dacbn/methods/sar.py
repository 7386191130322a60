"""Sharpness-aware and reliable entropy minimisation (SAR): Tent that does not collapse.

Paper: Niu, Wu, Zhang, Wen, Chen, Zhao and Tan, "Towards Stable Test-Time Adaptation in Dynamic Wild
World", ICLR 2023, https://arxiv.org/abs/2302.12400.

As in Tent, with three changes. Only images count whose entropy is below margin * log C. The step is
sharpness-aware: parameters w move to w + radius * g / |g| along the gradient g of the mean entropy,
and the step from w takes the gradient found there, of the images whose entropy is below the margin
there too. Where the running mean of that entropy (of which the newest batch is a tenth) falls below
`reset_below`, predictions are taken to have collapsed, and the network starts again.
Differs from the paper: the normalisers of all stages adapt, where the paper leaves those of the
last; after a reset the running mean starts anew too.
"""

import copy
import math

import torch
from torch import Tensor
from torch.optim import SGD

from dacbn.batch import Output
from dacbn.losses import entropy
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.models import Network

MOMENTUM = 0.9  # of SGD, and of the running mean of entropies


@test_time_methods.register("sar")
class SAR(OnlineMethod):
    """Make reliable predictions certain, in flat directions, and start again after a collapse.

    Args:
        network: what has been trained; stays as it is.
        lr: learning rate.
        margin: the share of the largest entropy, log C, from which a prediction is unreliable.
        radius: how far the sharpness-aware step looks.
        reset_below: the running mean of entropies that means a collapse, in nats.
    """

    def __init__(
        self,
        network: Network,
        lr: float = 1e-3,
        margin: float = 0.4,
        radius: float = 0.05,
        reset_below: float = 0.2,
    ) -> None:
        super().__init__(network)
        self.lr = lr
        self.largest = margin * math.log(network.num_classes)
        self.radius = radius
        self.reset_below = reset_below
        self.trained = copy.deepcopy(self.network.state_dict())
        self.reset()

    def reset(self) -> None:
        """Go back to the trained network."""
        self.network.load_state_dict(self.trained)
        self.optimizer = SGD(self.parameters, lr=self.lr, momentum=MOMENTUM)
        self.mean_entropy: float | None = None

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs, then take a step if any prediction is reliable."""
        features, logits = self.network(images, cluster_ids)
        entropies = entropy(logits)
        reliable = entropies < self.largest
        if reliable.any():
            moves = self.ascend(entropies[reliable].mean())
            again = entropy(self.network(images, cluster_ids).logits)[reliable]
            self.learn(again[again < self.largest], moves)
        return Output(features.detach(), logits.detach())

    def ascend(self, loss: Tensor) -> list[Tensor]:
        """Move all parameters to where the loss is worse nearby, and return how."""
        gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
        length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        moves = [self.radius * gradient / (length + 1e-12) for gradient in gradients]
        self.move(moves, 1)
        return moves

    def learn(self, entropies: Tensor, moves: list[Tensor]) -> None:
        """Move back, and take a step by the entropies of those that are still reliable."""
        self.optimizer.zero_grad(set_to_none=True)
        if len(entropies):
            entropies.mean().backward()  # type: ignore[no-untyped-call]
        self.move(moves, -1)
        if len(entropies):
            self.optimizer.step()
            self.check_collapse(entropies.mean().item())

    def check_collapse(self, newest: float) -> None:
        """Follow the mean entropy, and start again if it says that predictions collapsed."""
        before = newest if self.mean_entropy is None else self.mean_entropy
        self.mean_entropy = MOMENTUM * before + (1 - MOMENTUM) * newest
        if self.mean_entropy < self.reset_below:
            self.reset()

    @torch.no_grad()
    def move(self, moves: list[Tensor], sign: int) -> None:
        """Add moves to the parameters, or take them back."""
        for parameter, move in zip(self.parameters, moves, strict=True):
            parameter.add_(move, alpha=sign)
