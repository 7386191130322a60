"""The options of `dacbn predict` for streams: images that are answered in order, as they come."""

import dataclasses
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class StreamOptions:
    """How images are answered as a stream."""

    order: Literal["as-is", "shuffled"] | None = None
    """as-is answers images in the order given, batch by batch, each batch before it is adapted to;
    shuffled adapts to all images in an order of its own, and lists them as given. --adapt alone is
    shuffled, because folders list images by class; with an option below, as-is."""
    batch_size: int | None = None
    """Images that are answered together, in the order as-is; by default 64."""
    norm: str | None = None
    """Normalisers that take the place of the trained BatchNorms and follow the images, such as
    unmix_norm; see dacbn list norms."""
    follow: bool = False
    """Go on with the names that arrive on standard input, one on each line; the answers to a batch
    are written as soon as it is full."""
    state: Path | None = None
    """File of what the stream has learned: gone on from if it is there, and written at the end."""
    guard: bool = True
    """Return the network to the source where its answers collapse, and say so."""

    def is_stream(self) -> bool:
        """Whether images are answered in order.

        Raises:
            ValueError: an option contradicts another.
        """
        given = {
            "--batch-size": self.batch_size is not None,
            "--norm": self.norm is not None,
            "--follow": self.follow,
            "--state": self.state is not None,
            "--no-guard": not self.guard,
        }
        named = [name for name, is_given in given.items() if is_given]
        if self.order == "shuffled" and named:
            raise ValueError(f"{named[0]} answers images in order: leave out --order shuffled")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"--batch-size must be at least 1, got {self.batch_size}")
        return self.order == "as-is" or bool(named)
