"""Notice that a network which adapts to a stream collapses, by the network that does not adapt.

Paper: none. A network that adapts without labels may end in answering every image alike, with
certainty: its own entropy is then low, and looks like success. Nor does an uneven balance of its
answers tell, since the labels of a stream may come in runs. But the network that does not adapt
sees the same images: it is asked about one in four of them, and the diversity of the recent answers
of both, the entropy of their mean probabilities, is compared.

A network can also become a little worse and stay as diverse. A batch brings statistics of its own,
by which the network gains before it learns; a single image brings none, and what was learned from
it has to show its worth: where the statistics of the source do not fit, it answers few classes, and
a network that mends this answers more of them. Learning by entropy alone makes answers less
diverse. Within a run of one label, mistakes are diverse too: this is decided by a longer past.

The numbers of collapse were chosen on 98 streams of 64 images at a time, where no method that was
better than the source fell below them, and on 24 streams of single images, where every method did
that ended 20 points worse than the source. `MORE` was chosen on 88 streams of single images of one
training, and `LONG` on 30; no method then ended below the source. With `MORE` at 1.0 or the past of
`SPAN` one did, by 1.0 and 0.3 points, and with 1.05 they gain a sixth less.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor

EVERY = 4  # images, of which both networks are asked about one, on average
GOLDEN = 2654435769  # 2 ** 32 over the golden ratio: its multiples share no period with a stream
SPAN = 64  # such images, by which the weight of the past falls to 1/e
NEEDED = 32  # such images, before anything is decided
LESS = 0.85  # share of the source's diversity below which answers collapse
LESS_AT_FIRST, SURE = 0.75, 48  # the same, until there have been so many
CLEARLY = 0.2  # nats, by which they are then less diverse
LONG = 256  # such images, by which the past falls to 1/e where the better network is decided
MORE = 1.02  # times the source's diversity, above which a network of single images is the better


class Guard:
    """Compares the recent answers of two networks to the same images.

    Args:
        num_classes: number of classes C.

    Attributes:
        seen: images of the stream.
        compared: images about which both networks were asked, since the last return.
        adapted: running mean of the probabilities of the network that adapts, float32 (C,).
        source: of the network that does not.
        long_adapted: running mean of a longer past, of the network that adapts.
        long_source: of the network that does not.
    """

    def __init__(self, num_classes: int) -> None:
        self.seen = 0
        self.num_classes = num_classes
        self.forget()

    def forget(self) -> None:
        """Forget the recent past."""
        self.compared = 0
        self.adapted = self.source = torch.zeros(self.num_classes)
        self.long_adapted = self.long_source = torch.zeros(self.num_classes)

    def rows(self, count: int) -> Tensor:
        """Return about which of the next `count` images to ask both networks, int64."""
        numbers = torch.arange(self.seen, self.seen + count) % 2**31
        self.seen += count
        return (numbers * GOLDEN % 2**32 < 2**32 // EVERY).nonzero()[:, 0]

    def watch(self, adapted: Tensor, source: Tensor) -> None:
        """Take logits (R, C) of both networks for the same images, on the CPU.

        Those that are not finite say nothing, and would stay in every later mean.
        """
        known = adapted.isfinite().all(1) & source.isfinite().all(1)
        adapted, source = adapted[known], source[known]
        if not len(adapted):
            return
        self.compared += len(adapted)
        ours, theirs = adapted.softmax(1).mean(0), source.softmax(1).mean(0)
        share, small = (1 - math.exp(-len(adapted) / span) for span in (SPAN, LONG))
        self.adapted, self.source = self.adapted.lerp(ours, share), self.source.lerp(theirs, share)
        self.long_adapted = self.long_adapted.lerp(ours, small)
        self.long_source = self.long_source.lerp(theirs, small)

    def verdict(self) -> str | None:
        """Say how the answers collapse; None if they do not."""
        if self.compared < NEEDED:
            return None
        ours, theirs = diversity(self.adapted), diversity(self.source)
        less = LESS if self.compared >= SURE else LESS_AT_FIRST
        if ours < less * theirs and ours < theirs - CLEARLY:
            return (
                f"its recent answers have a diversity of {ours:.2f} nats, and those of the source "
                f"{theirs:.2f}"
            )
        return None

    def is_better(self) -> bool:
        """Whether the network that adapts has shown that it answers better than the source."""
        known = self.compared >= NEEDED
        return known and diversity(self.long_adapted) > MORE * diversity(self.long_source)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next verdicts depend on."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; an older one without a longer past begins it with the recent one."""
        past = {f"long_{name}": state[name] for name in ("adapted", "source") if name in state}
        for name, value in copy.deepcopy(past | state).items():
            setattr(self, name, value.cpu() if isinstance(value, Tensor) else value)


def diversity(weights: Tensor) -> float:
    """Return the entropy, in nats, of weights (C,) of classes."""
    p = weights / weights.sum().clamp_min(1e-12)
    return -(p * p.clamp_min(1e-12).log()).sum().item()
