"""EATA: a Tent that learns from images that are reliable and new, and stays near the source.

Paper: Niu, Wu, Zhang, Chen, Zheng, Zhao and Tan, "Efficient Test-Time Model Adaptation without
Forgetting", ICML 2022, https://arxiv.org/abs/2204.02610.

An image counts if its entropy H is below margin * log C, and if the absolute cosine of its
probabilities and the running mean of those that counted (momentum 0.9) is below `similar`. It
weighs exp(margin * log C - H). The loss is the mean of weight * H, and the weight is no part of the
gradient; added is

    anchor * sum_k F_k (w_k - w_k of the source)^2,

F_k the mean squared slope of the cross-entropy of the network's own answers to source images
(`learn_source`); without source images, this term is left out.
Differs from the paper: slopes are squared image by image, where the authors' code squares those of
batches' means; F then does not depend on the batch size, and `anchor` has another scale. Batches of
fewer than 64 images also use the stored statistics (`dacbn.methods.online`). Defaults are the
authors' settings for small images.
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD

from dacbn.batch import Output
from dacbn.limits import NotNegative, Positive
from dacbn.losses import entropy
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.models import Network

MOMENTUM = 0.9  # of SGD, and of the running mean of probabilities
SOURCE_IMAGES = 500  # from which the slopes are found


@test_time_methods.register("eata")
class EATA(OnlineMethod):
    """Minimise the entropy of reliable and new predictions, and hold what the source needs.

    Args:
        network: a trained network, which is not changed.
        lr: learning rate.
        margin: share of the largest entropy, log C, from which a prediction is unreliable.
        similar: cosine with the running mean of predictions from which one is not new.
        anchor: weight of the distance to the source.
    """

    remembers = ("optimizer", "mean", "importance")

    def __init__(
        self,
        network: Network,
        lr: Positive = 5e-3,
        margin: NotNegative = 0.4,
        similar: NotNegative = 0.4,
        anchor: NotNegative = 1.0,
    ) -> None:
        super().__init__(network)
        self.optimizer = SGD(self.parameters, lr=lr, momentum=MOMENTUM)
        self.largest = margin * math.log(network.num_classes)
        self.similar = similar
        self.anchor = anchor
        self.start = [parameter.detach().clone() for parameter in self.parameters]
        self.mean: Tensor | None = None  # (C,)
        self.importance: list[Tensor] | None = None

    def learn_source(self, batches: Iterable[Tensor], cluster_id: int) -> None:
        """Find what the source needs, from batches of its images (B, 3, S, S); labels are not."""
        sums, count = [torch.zeros_like(parameter) for parameter in self.parameters], 0
        for image in (image for batch in batches for image in batch):
            ids = torch.full((1,), cluster_id, device=image.device)
            logits = self.network(image[None], ids).logits
            loss = F.cross_entropy(logits, logits.argmax(1))
            slopes = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
            for total, slope in zip(sums, slopes, strict=True):
                total += slope.square()
            count += 1
            if count == SOURCE_IMAGES:
                break
        self.importance = [total / max(count, 1) for total in sums]

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs, then take a step if any prediction is reliable and new."""
        features, logits = self.run(images, cluster_ids)
        entropies, p = entropy(logits), logits.detach().softmax(1)
        counts = entropies.detach() < self.largest
        if self.mean is not None:
            counts &= F.cosine_similarity(p, self.mean[None]).abs() < self.similar
        if counts.any():
            newest = p[counts].mean(0)
            self.mean = newest if self.mean is None else self.mean.lerp(newest, 1 - MOMENTUM)
            weights = (self.largest - entropies.detach()).exp()
            loss = (weights * entropies)[counts].mean() + self.distance()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return Output(features.detach(), logits.detach())

    def distance(self) -> Tensor:
        """Compute the weighted distance to the source; 0 without source images."""
        total = torch.zeros((), device=self.start[0].device)
        for need, now, start in zip(
            self.importance or (), self.parameters, self.start, strict=self.importance is not None
        ):
            total = total + (need * (now - start).square()).sum()
        return self.anchor * total
