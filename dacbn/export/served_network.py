"""A network as others call it: pixels in, probabilities and features out."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dacbn.datasets import Fit
from dacbn.export.resize import resize
from dacbn.export.simplify import simplify
from dacbn.losses import entropy
from dacbn.models import Network, takes_cluster_ids

Pixels: TypeAlias = Literal["uint8", "float"]
"""Types of pixels: bytes, or float32 in [0, 1]."""


class ServedNetwork(nn.Module):
    """Answers to images, without domain ids and any training.

    Args:
        network: is copied to the CPU.
        cluster_ids: domains whose answers are averaged; see `answering_ids`.
        pixels: type of the images.
        resize_to: pixels per side to which images of other sizes are resized; None takes images of
            the network's size only.
        fit: how resized images become square.
        unknown: whether the network may answer "unknown".
    """

    def __init__(
        self,
        network: Network,
        cluster_ids: tuple[int, ...],
        pixels: Pixels = "uint8",
        resize_to: int | None = None,
        fit: Fit = "crop",
        unknown: bool = False,
    ) -> None:
        super().__init__()
        by_domain = takes_cluster_ids(network)
        plain = len(cluster_ids) == 1 and network.id_source == "domain"
        self.network = simplify(network, cluster_ids[0] if plain else None)
        self.cluster_ids = cluster_ids if by_domain else cluster_ids[:1]
        self.pixels, self.resize_to, self.fit = pixels, resize_to, fit
        self.unknown = unknown
        self.eval()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return ("probabilities", "features", *(["unknown_score"] if self.unknown else []))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answer images (B, 3, H, W).

        Returns:
            probabilities (B, num_classes), features (B, D) and, where the network may answer
            "unknown", the score (B,) above whose threshold it does.
        """
        scaled = images.float()
        if self.resize_to is not None:
            scaled = resize(scaled, self.resize_to, self.fit, whole=self.pixels == "uint8")
        if self.pixels == "uint8":
            scaled = scaled / 255
        answers = [
            self.network(scaled, images.new_full(images.shape[:1], each, dtype=torch.int64))
            for each in self.cluster_ids
        ]
        features = _mean([each.features for each in answers])
        probabilities = _mean([each.logits.softmax(1) for each in answers])
        if not self.unknown:
            return probabilities, features
        logits = answers[0].logits if len(answers) == 1 else probabilities.log()
        if self.network.unknown is None:
            return probabilities, features, entropy(logits)
        own = self.network.unknown_logits(features)[:, 0]
        return probabilities, features, own - logits.amax(1)


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean(0)
