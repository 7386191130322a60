"""RoTTA: a balanced memory of the stream, and a teacher that follows slowly.

Paper: Yuan, Xie and Li, "Robust Test-Time Adaptation in Dynamic Scenarios", CVPR 2023,
https://arxiv.org/abs/2303.13899.

BatchNorms become `robust_batch_norm`. The teacher answers, with the statistics that it has. Each
image is offered to a memory of `memory` images with its likeliest class, its entropy H and its age
A, in images. What is worth least has the largest 1 / (1 + exp(-A / memory)) + H / log C. An image
of a class with fewer than memory / C images takes a free place, or that of the least worth image of
the largest classes; an image of another class that of the least worth image of its class; it is
left out if it is worth less itself.

After every `every` images, the student takes a step of Adam on the memory: the mean of

    exp(-A / memory) / (1 + exp(-A / memory)) * cross-entropy(teacher(image), student(view))

with random views; in these passes, the statistics of both move by 0.05. Then the teacher's
parameters go the share `follow` towards those of the student.
Differs from the paper: views are those of `dacbn.methods.stream_views`; layers other than
BatchNorm, which have no robust form, normalise as in evaluation.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Adam

from dacbn.batch import Output
from dacbn.limits import Count, Fraction, Positive
from dacbn.losses import entropy, log_probabilities
from dacbn.methods.online import OnlineMethod, test_time_methods
from dacbn.methods.stream_views import random_views
from dacbn.models import Network, takes_cluster_ids, with_norm
from dacbn.norms import BatchNorm
from dacbn.norms.following import FollowsStream, following

NORM = "robust_batch_norm"


@test_time_methods.register("rotta")
class RoTTA(OnlineMethod):
    """Learn from a balanced memory by a slow teacher, which answers.

    Args:
        network: a trained network, which is not changed.
        lr: learning rate.
        memory: images that are kept.
        every: images after which a step is taken.
        follow: share of the way to the student that the teacher goes after each step.
    """

    remembers = (
        *("teacher", "optimizer", "generator", "waiting"),
        *("images", "cluster_ids", "classes", "entropies", "ages"),
    )
    by_batch = False

    def __init__(
        self,
        network: Network,
        lr: Positive = 1e-3,
        memory: Count = 64,
        every: Count = 64,
        follow: Fraction = 1e-3,
    ) -> None:
        super().__init__(_robust(network))
        self.optimizer = Adam(self.parameters, lr=lr)
        self.teacher = copy.deepcopy(self.network).requires_grad_(False)
        self.generator = torch.Generator().manual_seed(0)
        self.memory, self.every, self.follow = memory, every, follow
        self.images: list[Tensor] = []  # (3, S, S) each, the oldest first
        self.cluster_ids: list[int] = []  # of these, as the next three
        self.classes: list[int] = []
        self.entropies: list[float] = []
        self.ages: list[int] = []
        self.waiting = 0  # images since the last step

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs of the teacher, then remember the images, and learn when it is time."""
        with torch.no_grad():
            features, logits = self.teacher(images, cluster_ids)
        found = zip(
            images,
            cluster_ids.tolist(),
            logits.argmax(1).tolist(),
            entropy(logits).tolist(),
            strict=True,
        )
        for image, cluster_id, label, uncertainty in found:
            self.remember(image, cluster_id, label, uncertainty)
            self.waiting += 1
            if self.waiting == self.every:
                self.waiting = 0
                self.learn()
        return Output(features, logits)

    def remember(self, image: Tensor, cluster_id: int, label: int, uncertainty: float) -> None:
        """Offer an image to the memory; all others become older."""
        if self._make_room(label, self.worthless(0, uncertainty)):
            self.images.append(image.clone())  # a part of the batch would keep all of it
            self.cluster_ids.append(cluster_id)
            self.classes.append(label)
            self.entropies.append(uncertainty)
            self.ages.append(0)
        self.ages = [age + 1 for age in self.ages]

    def worthless(self, age: int, uncertainty: float) -> float:
        """Compute how little an image is worth."""
        classes = self.network.num_classes
        return 1 / (1 + math.exp(-age / self.memory)) + uncertainty / math.log(max(classes, 2))

    def _make_room(self, label: int, worthless: float) -> bool:
        """Remove the least worth image that the new one may replace; whether it has a place."""
        counts = {each: self.classes.count(each) for each in {*self.classes, label}}
        among = [label]
        if counts[label] < self.memory / self.network.num_classes:
            if len(self.classes) < self.memory:
                return True
            among = [each for each, count in counts.items() if count == max(counts.values())]
        scores = {
            place: self.worthless(self.ages[place], self.entropies[place])
            for place, each in enumerate(self.classes)
            if each in among
        }
        worst = max(scores, key=lambda place: scores[place])
        if scores[worst] <= worthless:
            return False
        known: tuple[list[Any], ...] = (self.images, self.cluster_ids, self.classes)
        for each in (*known, self.entropies, self.ages):
            del each[worst]
        return True

    def learn(self) -> None:
        """Take a step on the memory, and let the teacher follow."""
        if not self.classes:
            return
        images = torch.stack(self.images)
        ids = torch.tensor(self.cluster_ids, device=images.device)
        with following(self.network), following(self.teacher):
            with torch.no_grad():
                taught = self.teacher(images, ids).logits
            views = random_views(images, self.generator)
            told = log_probabilities(self.network(views, ids).logits)
        ages = torch.tensor(self.ages, device=told.device) / self.memory
        losses = -(taught.softmax(1) * told).sum(1) * torch.sigmoid(-ages)
        self.optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()
        self.optimizer.step()
        with torch.no_grad():
            pairs = zip(self.teacher.parameters(), self.network.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, self.follow)


def _robust(network: Network) -> Network:
    """Return the network with robust BatchNorms in place of its BatchNorms, if it has any."""
    if any(isinstance(layer, FollowsStream) for layer in network.modules()):
        raise ValueError(f"rotta brings its own norm, {NORM}: leave out the norm, or choose tent")
    plain = any(isinstance(layer, (_BatchNorm, BatchNorm)) for layer in network.modules())
    return with_norm(network, NORM) if plain and not takes_cluster_ids(network) else network
