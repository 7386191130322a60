"""CoTTA: a teacher that averages views, a student of all weights, and weights that are restored.

Paper: Wang, Fink, Van Gool and Dai, "Continual Test-Time Domain Adaptation", CVPR 2022,
https://arxiv.org/abs/2203.13591.

The teacher answers: by the mean logits of `views` random views of each image, if the source network
is unsure of the batch (the mean of its largest probabilities is below `sure`), and otherwise by the
images as they are. The student takes a step of Adam, in all parameters, on its cross-entropy with
the teacher. The teacher's parameters go the share `follow` towards those of the student. Then each
number among the student's parameters becomes that of the source with probability `restore`.
Differs from the paper: views are those of `dacbn.methods.stream_views`; batches of fewer than 64
images also use the stored statistics (`dacbn.methods.online`).
"""

import copy

import torch
from torch import Tensor
from torch.optim import Adam

from dacbn.batch import Output
from dacbn.limits import Count, Fraction, Positive
from dacbn.losses import log_probabilities
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.methods.stream_views import random_views
from dacbn.models import Network


@test_time_methods.register("cotta")
class CoTTA(OnlineMethod):
    """Learn all weights from a slow teacher, and restore a few of them in each step.

    Args:
        network: a trained network, which is not changed.
        lr: learning rate.
        views: of each image, that the teacher averages.
        sure: mean largest probability of the source network from which one view is enough.
        follow: share of the way to the student that the teacher goes after each step.
        restore: probability that a number among the parameters is restored in a step.
    """

    learns = False  # all parameters, with normalisers or without
    remembers = ("teacher", "optimizer", "generator")

    def __init__(
        self,
        network: Network,
        lr: Positive = 1e-3,
        views: Count = 32,
        sure: Fraction = 0.92,
        follow: Fraction = 1e-3,
        restore: Fraction = 0.01,
    ) -> None:
        super().__init__(network)
        self.teacher = copy.deepcopy(self.network).requires_grad_(False)
        self.source = copy.deepcopy(self.teacher)
        self.parameters = [*self.network.requires_grad_(True).parameters()]
        self.optimizer = Adam(self.parameters, lr=lr)
        self.generator = torch.Generator().manual_seed(0)
        self.views, self.sure, self.follow, self.restore = views, sure, follow, restore

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs of the teacher, then let the student learn from it."""
        features, logits = self.teach(images, cluster_ids)
        told = log_probabilities(self.run(images, cluster_ids).logits)
        self.optimizer.zero_grad(set_to_none=True)
        loss = -(log_probabilities(logits).exp() * told).sum(1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.pass_on()
        return Output(features, logits)

    @torch.no_grad()
    def teach(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute features and logits of the teacher."""
        given = self.run(images, cluster_ids, network=self.teacher)
        known = self.run(images, cluster_ids, again=True, network=self.source).logits.softmax(1)
        if known.amax(1).mean() >= self.sure:
            return given
        total = torch.zeros_like(given.logits)
        for _ in range(self.views):
            seen = random_views(images, self.generator)
            total += self.run(seen, cluster_ids, again=True, network=self.teacher).logits
        return given._replace(logits=total / self.views)

    @torch.no_grad()
    def pass_on(self) -> None:
        """Let the teacher follow, and restore some of the student's numbers."""
        networks = (self.network, self.teacher, self.source)
        for fast, slow, source in zip(*(each.parameters() for each in networks), strict=True):
            slow.lerp_(fast, self.follow)
            drawn = torch.rand(fast.shape, generator=self.generator) < self.restore
            fast.copy_(torch.where(drawn.to(fast.device), source, fast))
