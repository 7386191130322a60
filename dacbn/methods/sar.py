"""Sharpness-aware and reliable entropy minimisation (SAR): a stabilised Tent.

Paper: Niu, Wu, Zhang, Wen, Chen, Zhao and Tan, "Towards Stable Test-Time Adaptation in Dynamic Wild
World", ICLR 2023, https://arxiv.org/abs/2302.12400.

As Tent, with three changes. Only images whose entropy is below margin * log C are used. The step is
sharpness-aware (SAM): parameters w are perturbed to w + radius * g / |g| along the gradient g of
the mean entropy, and the step from w uses the gradient at the perturbed point, of the images whose
entropy is below the margin there too. If the running mean of that entropy (momentum 0.9) falls
below `reset_below`, predictions have collapsed, and the network is reset.
Differs from the paper: the normalisers of all stages adapt, where the paper excludes those of the
last; a reset also restarts the running mean, and leaves statistics that follow the stream; batches
of fewer than 64 images also use the stored statistics (`dacbn.methods.online`).
"""

import math

import torch
from torch import Tensor
from torch.optim import SGD

from dacbn.batch import Output
from dacbn.limits import NotNegative, Positive
from dacbn.losses import entropy
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.models import Network

MOMENTUM = 0.9  # of SGD, and of the running mean of entropies


@test_time_methods.register("sar")
class SAR(OnlineMethod):
    """Minimise the entropy of reliable predictions by SAM steps, and reset after a collapse.

    Args:
        network: a trained network, which is not changed.
        lr: learning rate.
        margin: share of the largest entropy, log C, from which a prediction is unreliable.
        radius: length of the perturbation of the parameters.
        reset_below: running mean of entropies, in nats, below which the network is reset.
    """

    remembers = ("optimizer", "mean_entropy")

    def __init__(
        self,
        network: Network,
        lr: Positive = 1e-3,
        margin: NotNegative = 0.4,
        radius: NotNegative = 0.05,
        reset_below: NotNegative = 0.2,
    ) -> None:
        super().__init__(network)
        self.lr = lr
        self.largest = margin * math.log(network.num_classes)
        self.radius = radius
        self.reset_below = reset_below
        self.start = [parameter.detach().clone() for parameter in self.parameters]
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Restore the trained parameters, and restart the optimiser and the running mean."""
        for parameter, start in zip(self.parameters, self.start, strict=True):
            parameter.copy_(start)
        self.optimizer = SGD(self.parameters, lr=self.lr, momentum=MOMENTUM)
        self.mean_entropy: float | None = None

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs, then take a step if any prediction is reliable."""
        features, logits = self.run(images, cluster_ids)
        entropies = entropy(logits)
        reliable = entropies < self.largest
        if reliable.any():
            moves = self.ascend(entropies[reliable].mean())
            there = self.run(images, cluster_ids, again=not self.by_batch).logits
            again = entropy(there)[reliable]
            self.learn(again[again < self.largest], moves)
        return Output(features.detach(), logits.detach())

    def ascend(self, loss: Tensor) -> list[Tensor]:
        """Perturb parameters along the gradient (SAM ascent step); return the perturbation."""
        gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
        length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        moves = [self.radius * gradient / (length + 1e-12) for gradient in gradients]
        self.move(moves, 1)
        return moves

    def learn(self, entropies: Tensor, moves: list[Tensor]) -> None:
        """Undo the perturbation, and take a step on the entropies that are still reliable."""
        self.optimizer.zero_grad(set_to_none=True)
        if len(entropies):
            entropies.mean().backward()  # type: ignore[no-untyped-call]
        self.move(moves, -1)
        if len(entropies):
            self.optimizer.step()
            self.check_collapse(entropies.mean().item())

    def check_collapse(self, newest: float) -> None:
        """Update the running mean entropy; reset the network if it falls below the threshold."""
        before = newest if self.mean_entropy is None else self.mean_entropy
        self.mean_entropy = MOMENTUM * before + (1 - MOMENTUM) * newest
        if self.mean_entropy < self.reset_below:
            self.reset()

    @torch.no_grad()
    def move(self, moves: list[Tensor], sign: int) -> None:
        """Add the perturbation to the parameters (sign 1), or subtract it (sign -1)."""
        for parameter, move in zip(self.parameters, moves, strict=True):
            parameter.add_(move, alpha=sign)
