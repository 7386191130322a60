"""What one stream is run with."""

from dataclasses import dataclass
from typing import Any, Literal

Protocol = Literal["iid", "continual", "correlated", "mixed", "single"]
Row = dict[str, Any]
TRAINED = "source"  # the norm that the network was trained with


@dataclass(frozen=True)
class Cell:
    """What a stream is run with.

    Attributes:
        protocol: the order of the images.
        batch_size: images that are answered together; 1 with the protocol "single".
        norm: takes the place of the network's BatchNorms; "source" keeps them.
        method: a test-time method; None only predicts.
        seed: of the order.
    """

    protocol: Protocol
    batch_size: int
    norm: str
    method: str | None
    seed: int
