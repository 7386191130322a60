"""The interface of adaptation methods, and the registry that names them."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.batch import Batch, Output, Part, join_domains, split_domains
from dacbn.models import Network
from dacbn.processes import by_rows
from dacbn.registry import Registry


class Step(NamedTuple):
    """Losses and metrics of one step: scalars on the device, by name.

    All names are listed, with their units, in `dacbn/training/metrics.py`; a method with a new name
    adds it there.

    Attributes:
        losses: weighted terms of the objective: their sum is minimised, and each is logged as it
            enters the sum. "classification" is the cross-entropy of the labelled images, in nats;
            every other key is a term of the method, such as "domain". A method has the same
            keys in every step, with 0 for a term that is not in use.
        metrics: values that are only logged, without gradient. "source_accuracy" is the share of
            source images whose label is predicted, "labelled_accuracy" that of labelled target
            images; "domain_accuracy" the share of images whose
            domain the domain head predicts, by chance one over the number of domains; other keys
            are the method's, such as "adversarial_strength".
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
    uses_target: ClassVar[bool] = True  # its losses see unlabelled target images
    target_lacks_classes: ClassVar[bool] = False  # it is for targets without some of the source's
    of_predictions: ClassVar[bool] = False  # its losses are functions of the logits alone
    takes_labelled_target: ClassVar[bool] = False  # and needs a few labelled target images
    classifier_temperature: ClassVar[float | None] = None  # of the `CosineClassifier` that it needs

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def lr_factor(self, progress: float) -> float:
        """Return the factor on the scheduled learning rate; methods with stages override this."""
        return 1.0


class Method(Objective):
    """A way to train a network on labelled source and unlabelled target images.

    Most methods add losses to the source's classification loss, computed from the outputs of one
    forward pass of all domains, and can be added to one another. They write `transfer`, whose
    losses compare a source and a target, or `transfer_domains`, which sees each domain apart. A
    method that needs other forward passes writes `forward` instead.

    Attributes:
        by_pairs: with several sources or targets, the losses of `transfer` are the mean over all
            pairs of a source and a target; otherwise the sources are seen as one, and the targets
            as one. Without a target the pairs are those of two sources.
        has_unknown_output: it trains an output of the network for unknown classes.
        fewest_sources: how many sources it needs where there is no target; None if it needs a
            target.
    """

    by_pairs: ClassVar[bool] = False
    has_unknown_output: ClassVar[bool] = False
    fewest_sources: ClassVar[int | None] = None

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute losses and metrics of a batch."""
        source, target = self.forward_both(batch)
        weights = self.weigh_source(target, batch.source_labels)
        losses = {"classification": classification_loss(source, batch.source_labels, weights)}
        metrics = {"source_accuracy": accuracy(source.logits, batch.source_labels)}
        sources = split_domains(source, batch.source_counts)
        targets = split_domains(target, batch.target_counts) if len(target.logits) else []
        added = self.transfer_weighted(sources, targets, batch.source_labels, progress, weights)
        return Step(losses | added.losses, metrics | added.metrics)

    def weigh_source(self, target: Output, source_labels: Tensor) -> Tensor | None:
        """Return a weight (B,) of each source image in the losses; None weighs all the same.

        Args:
            target: outputs of the target images.
            source_labels: int64 (B,).
        """
        return None

    def transfer_weighted(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
        source_weights: Tensor | None,
    ) -> Step:
        """Compute `transfer_domains` with weights (B,) of the source images, or None.

        A method whose losses can weigh them writes this; others ignore the weights.
        """
        return self.transfer_domains(sources, targets, source_labels, progress)

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
        if type(self).transfer_domains is Method.transfer_domains:
            raise NotImplementedError
        return self.transfer_domains([source], [target], source_labels, progress)

    def transfer_domains(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
    ) -> Step:
        """Compute the same for any number of domains, each with its own output.

        Args:
            sources: outputs for each source, as in `transfer`; one may have no images in a batch.
            targets: outputs for each target; none where there is no target.
            source_labels: int64 (B,), of all sources in this order.
            progress: the share in [0, 1) of the training steps that are done.
        """
        if not self.by_pairs:
            source, target = join_domains(sources), join_domains(targets)
            return self.transfer(source, target, source_labels, progress)
        labels = torch.split(source_labels, [len(source.logits) for source in sources])
        filled = [each for each in zip(sources, labels, strict=True) if len(each[0].logits)]
        others = [(target, source_labels[:0]) for target in targets if len(target.logits)]
        pairs = list(product(filled, others) if targets else combinations(filled, 2))
        steps = [
            self.transfer(source, other, of_source, progress)
            for (source, of_source), (other, _) in pairs or [(filled[0], filled[0])]
        ]
        share = 1.0 if pairs else 0.0  # a batch of one source alone has nothing to compare
        return Step(*(_mean(each, share) for each in zip(*steps, strict=True)))

    def forward_source(self, batch: Batch) -> Output:
        """Run the network on the source images alone."""
        return self.forward_together(batch.source)[0]

    def forward_target(self, batch: Batch) -> Output:
        """Run the network on the target images alone."""
        return self.forward_together(batch.target)[0]

    def forward_both(self, batch: Batch) -> tuple[Output, Output]:
        """Run the network once on source and target images together; return one output each."""
        source, target = self.forward_together(batch.source, batch.target)
        return source, target

    def forward_together(self, *parts: Part, network: Network | None = None) -> list[Output]:
        """Run the network, or another one, once on several parts of a batch.

        On several processes each runs its rows, and all get the outputs of all rows.
        """
        images, ids, sizes = zip(*parts, strict=True)
        together = images[0] if len(parts) == 1 else torch.cat(images)
        of_all = ids[0] if len(parts) == 1 else torch.cat(ids)
        runs = self.network if network is None else network
        features, logits = by_rows(runs, together, of_all, sizes=sum(sizes, ()))
        lengths = list(map(len, images))
        pairs = zip(features.split(lengths), logits.split(lengths), strict=True)
        return [Output(*pair) for pair in pairs]


def _mean(named: Sequence[dict[str, Tensor]], share: float = 1.0) -> dict[str, Tensor]:
    """Average scalars of the same names, and take a share of that."""
    if len(named) == 1 and share == 1:
        return named[0]
    return {name: share * torch.stack([each[name] for each in named]).mean() for name in named[0]}


def classification_loss(source: Output, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Compute the mean of the cross-entropies of labels (B,), in nats, each times its weight."""
    if weights is None:
        return F.cross_entropy(source.logits, labels)
    return (weights * F.cross_entropy(source.logits, labels, reduction="none")).mean()


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the share of labels (B,) that the logits (B, num_classes) predict."""
    return (logits.argmax(1) == labels).float().mean()


methods: Registry[type[Method]] = Registry("method", "dacbn.methods")
