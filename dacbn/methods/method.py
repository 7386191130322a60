"""The interface of adaptation methods, and the registry that names them."""

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.batch import SOURCE, TARGET, Batch, Output, domain_ids
from dacbn.models import Network
from dacbn.registry import Registry


class Step(NamedTuple):
    """Losses and metrics of one step: scalars on the device, by name.

    All names are listed, with their units, in `dacbn/training/metrics.py`; a method with a new name
    adds it there.

    Attributes:
        losses: weighted terms of the objective: their sum is minimised, and each is logged as it
            enters the sum. "classification" is the cross-entropy of the labelled source images, in
            nats; every other key is a term of the method, such as "domain". A method has the same
            keys in every step, with 0 for a term that is not in use.
        metrics: values that are only logged, without gradient. "source_accuracy" is the share of
            source images whose label is predicted; "domain_accuracy" the share of images whose
            domain the domain head predicts, 0.5 by chance; other keys are the method's, such as
            "adversarial_strength".
    """

    losses: dict[str, Tensor]
    metrics: dict[str, Tensor]


class Objective(nn.Module):
    """A network with its losses: the part of a method that the training loop uses.

    Subclasses write `forward(batch, progress)`, which returns a `Step`; `progress` is the share in
    [0, 1) of the training steps that are done. Domain heads and the like are submodules: the loop
    optimises every parameter that requires a gradient.

    Args:
        network: the network to train.
    """

    wants_strong_views: ClassVar[bool] = False
    perturbs_images: ClassVar[bool] = False
    of_predictions: ClassVar[bool] = False  # its losses are functions of the logits alone

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def lr_factor(self, progress: float) -> float:
        """Return the factor on the scheduled learning rate; methods with stages override this."""
        return 1.0

    def forward_target(self, images: Tensor) -> Output:
        """Run the network on target images (B, 3, S, S) alone."""
        ids = domain_ids(len(images), TARGET, images.device)
        return self.network(images, ids)  # type: ignore[no-any-return]


class Method(Objective):
    """A way to train a network on labelled source and unlabelled target images.

    Most methods add losses to the source's classification loss, computed from the outputs of one
    forward pass of both domains: they write `transfer`, and can be added to one another. A method
    that needs other forward passes writes `forward` instead.
    """

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute losses and metrics of a batch."""
        source, target = self.forward_both(batch)
        losses = {"classification": F.cross_entropy(source.logits, batch.source_labels)}
        metrics = {"source_accuracy": accuracy(source.logits, batch.source_labels)}
        added = self.transfer(source, target, batch.source_labels, progress)
        return Step(losses | added.losses, metrics | added.metrics)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the losses added to the source's classification loss, and further metrics.

        Args:
            source: features (B, D) and logits (B, num_classes) of the source images.
            target: features (B', D) and logits (B', num_classes) of the target images.
            source_labels: int64 (B,).
            progress: the share in [0, 1) of the training steps that are done.
        """
        raise NotImplementedError

    def forward_source(self, batch: Batch) -> Output:
        """Run the network on the source images alone."""
        images = batch.source_images
        ids = domain_ids(len(images), SOURCE, images.device)
        return self.network(images, ids)  # type: ignore[no-any-return]

    def forward_both(self, batch: Batch) -> tuple[Output, Output]:
        """Run the network once on source and target images together; return one output each."""
        source, target = batch.source_images, batch.target_images
        source_ids = domain_ids(len(source), SOURCE, source.device)
        target_ids = domain_ids(len(target), TARGET, target.device)
        images, ids = torch.cat([source, target]), torch.cat([source_ids, target_ids])
        features, logits = self.network(images, ids)
        sizes = [len(source), len(target)]
        pairs = zip(features.split(sizes), logits.split(sizes), strict=True)
        source_output, target_output = (Output(*pair) for pair in pairs)
        return source_output, target_output


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the share of labels (B,) that the logits (B, num_classes) predict."""
    return (logits.argmax(1) == labels).float().mean()


methods: Registry[type[Method]] = Registry("method")
