"""A stream: batches are answered in the order of arrival, and then learned from."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from dacbn.answers import Answer
from dacbn.batch import Output, domain_ids
from dacbn.models import Network
from dacbn.streams.arrivals import Arrived
from dacbn.training.storage import write_atomically

LOG = logging.getLogger(__name__)


class Follows(Protocol):
    """What answers a batch and then learns from it: a test-time method, or none."""

    network: Network

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs of images (B, 3, S, S), then learn from them."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next predictions depend on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class StreamedAnswers(NamedTuple):
    """The answers to a batch of B images, of which R can be read.

    Attributes:
        answers: an answer to each, in the order of arrival.
        output: features (R, D) and logits (R, num_classes) of those that can be read, on the CPU.
        labels: their labels, int64 (R,); the number of classes stands for "unknown".
        returned: why the network has been returned to the source before this batch was answered;
            None if it has not.
    """

    answers: list[Answer]
    output: Output
    labels: Tensor
    returned: str | None = None


class Stream(Iterator[StreamedAnswers]):
    """An iterator over the answers to a stream, batch by batch.

    A batch is read when its answers are asked for, and none is kept.

    Args:
        arrived: the batches.
        method: what answers.
        cluster_id: the domain id passed to the normalisers.
        label: int64 labels (R,) of outputs.
        names: names of the classes, and of "unknown".
        about: what a saved state must agree with.

    Attributes:
        seen: images so far, also those that cannot be read.
    """

    def __init__(
        self,
        arrived: Iterator[Arrived],
        method: Follows,
        cluster_id: int,
        label: Callable[[Output], Tensor],
        names: Sequence[str],
        about: dict[str, str | None],
    ) -> None:
        self.method = method
        self.seen = 0
        self._arrived = arrived
        self._cluster_id = cluster_id
        self._label = label
        self._names = names
        self._about = about

    def __iter__(self) -> Self:
        """Return the stream itself: it can be read once."""
        return self

    def __next__(self) -> StreamedAnswers:
        """Answer the next batch.

        Raises:
            ValueError: there was no image at all, one cannot be read, or the network answers with
                numbers that are not finite.
        """
        batch = next(self._arrived)
        output, returned = self._answer(batch.pixels)
        self.seen += len(batch.files)
        labels = self._label(output)
        rows = zip(labels.tolist(), output.logits.softmax(1), strict=True)
        answers = []
        for file, reason in zip(batch.files, batch.reasons, strict=True):
            if reason is not None:
                answers.append(Answer(file, None, None, reason))
                continue
            label, probabilities = next(rows)
            answers.append(Answer(file, self._names[label], probabilities.numpy(), None))
        return StreamedAnswers(answers, output, labels, returned)

    def _answer(self, pixels: Tensor) -> tuple[Output, str | None]:
        network = self.method.network
        if not len(pixels):
            return Output(
                torch.empty(0, network.num_features), torch.empty(0, network.num_classes)
            ), None
        device = network.pixel_mean.device
        images = pixels.to(device).float() / 255
        found = self.method.predict(images, domain_ids(len(images), self._cluster_id, device))
        output = Output(*(each.detach().float().cpu() for each in found))
        if not output.logits.isfinite().all():
            raise ValueError(
                f"the network's answers to images {self.seen + 1} to {self.seen + len(pixels)} of "
                "the stream are not finite: its weights are broken, or the adaptation diverged: "
                "lower its lr, or leave it out"
            )
        return output, None

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the next answers depend on, for the argument `state`."""
        state = {"about": self._about, "seen": self.seen, "method": self.method.state_dict()}
        return copy.deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, as if this stream had answered what came before it.

        Raises:
            ValueError: the state is of another method, normaliser or network.
        """
        if not isinstance(state, dict) or set(state) != {"about", "seen", "method"}:
            raise ValueError("this is no state of a stream: give what state_dict returned")
        for name, was in state["about"].items():
            if was != self._about[name]:
                raise ValueError(
                    f"the state is of a stream with {name} {was}, and this has "
                    f"{self._about[name]}: give the same, or start without a state"
                )
        self.method.load_state_dict(state["method"])
        self.seen = state["seen"]

    def save(self, path: str | Path) -> None:
        """Write the state to a file, whole or not at all.

        Raises:
            StorageError: the file cannot be written.
        """
        state = self.state_dict()
        write_atomically(Path(path), lambda draft: torch.save(state, draft))
