"""What an adaptation method is, and the registry that names them."""

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.batch import SOURCE, TARGET, Batch, Output, domain_ids
from dacbn.models import Network
from dacbn.registry import Registry


class Step(NamedTuple):
    """What a method says of a batch.

    Both are scalars on the device. The losses are weighted already: their sum is optimised, and
    they are logged as they are. The metrics are for people.
    """

    losses: dict[str, Tensor]
    metrics: dict[str, Tensor]


class Method(nn.Module):
    """A way to train a network on labelled source and unlabelled target images.

    Most methods add losses to the source's classification loss, on the outputs of one forward of
    both domains: they write `transfer`, and can be added to one another. A method that needs other
    forwards writes `forward` instead. Heads are modules; the loop optimises all parameters and
    knows no method by name.

    Args:
        network: what is trained.
    """

    wants_strong_views: ClassVar[bool] = False

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the losses of a batch, at a share `progress` in [0, 1] of the training."""
        source, target = self.forward_both(batch)
        losses = {"classification": F.cross_entropy(source.logits, batch.source_labels)}
        metrics = {"source_accuracy": accuracy(source.logits, batch.source_labels)}
        added = self.transfer(source, target, batch.source_labels, progress)
        return Step(losses | added.losses, metrics | added.metrics)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the losses beside the source's classification loss, and what else to log.

        Args:
            source: outputs of the source images; their number may differ from the target's.
            target: outputs of the target images.
            source_labels: int64 (B,).
            progress: the share in [0, 1] of the training that is done.
        """
        raise NotImplementedError

    def lr_factor(self, progress: float) -> float:
        """Give what the scheduled learning rate is multiplied by, where a method has stages."""
        return 1.0

    def forward_source(self, batch: Batch) -> Output:
        """Run the network on the source images alone."""
        images = batch.source_images
        return self.network(images, domain_ids(len(images), SOURCE, images.device))  # type: ignore[no-any-return]

    def forward_target(self, images: Tensor) -> Output:
        """Run the network on target images (B, 3, S, S) alone."""
        return self.network(images, domain_ids(len(images), TARGET, images.device))  # type: ignore[no-any-return]

    def forward_both(self, batch: Batch) -> tuple[Output, Output]:
        """Run the network once on source and target images together; return one output each."""
        source, target = batch.source_images, batch.target_images
        sizes = [len(source), len(target)]
        source_ids = domain_ids(len(source), SOURCE, source.device)
        target_ids = domain_ids(len(target), TARGET, target.device)
        images, ids = torch.cat([source, target]), torch.cat([source_ids, target_ids])
        features, logits = self.network(images, ids)
        pairs = zip(features.split(sizes), logits.split(sizes), strict=True)
        source_output, target_output = (Output(*pair) for pair in pairs)
        return source_output, target_output


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the share of labels (B,) that the logits (B, num_classes) predict."""
    return (logits.argmax(1) == labels).float().mean()


methods: Registry[type[Method]] = Registry("method")
