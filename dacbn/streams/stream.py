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
from dacbn.streams.guard import Guard
from dacbn.streams.saved_state import require_alike
from dacbn.streams.unadapted import Unadapted
from dacbn.training.storage import write_atomically

LOG = logging.getLogger(__name__)
RETURNED = "returned to the source"
PAUSE = 256  # images that the source answers after the first return, and twice as many each time
MOST_DOUBLINGS = 10
STATE: dict[str, Any] = {"about": {}, "seen": 0, "method": {}, "returns": 0, "rest": 0}


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
        source: what answers while the network that adapts is not trusted; None trusts it always.
        on_proof: trust it only while it has shown that it answers better than the source.

    Attributes:
        method: what answers.
        seen: images so far, also those that cannot be read.
        returns: how often the network has been returned to the source.
    """

    def __init__(
        self,
        arrived: Iterator[Arrived],
        method: Follows,
        cluster_id: int,
        label: Callable[[Output], Tensor],
        names: Sequence[str],
        about: dict[str, str | None],
        source: Unadapted | None = None,
        on_proof: bool = False,
    ) -> None:
        self.method = method
        self.seen = 0
        self.returns = 0
        self._rest = 0  # images that the source still answers after a return
        self._source = source
        self._on_proof = on_proof
        self._guard = None if source is None else Guard(method.network.num_classes)
        self._start = None if source is None else copy.deepcopy(method.state_dict())
        self._began = dict(method.state_dict())  # of which only the kinds matter
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
        ids = domain_ids(len(images), self._cluster_id, device)
        if self._source is not None and self._rest > 0:
            self._rest -= len(images)
            return self._finite(_on_cpu(self._source.predict(images, ids))), None
        output = _on_cpu(self.method.predict(images, ids))
        if self._source is None or self._guard is None:
            return self._finite(output), None
        why = self._collapsed(images, ids, output)
        if why is not None:
            self._return(why)
        elif not self._on_proof or self._guard.is_better():
            return self._finite(output), None
        note = None if why is None else f"{RETURNED}: {why}"
        return self._finite(_on_cpu(self._source.predict(images, ids))), note

    def _collapsed(self, images: Tensor, ids: Tensor, output: Output) -> str | None:
        """Say why the answers to these images cannot be trusted; None if they can."""
        assert self._guard is not None and self._source is not None
        if not output.logits.isfinite().all():
            return "its answers are not finite"
        rows = self._guard.rows(len(images))
        if len(rows):
            there = rows.to(images.device)
            known = _on_cpu(self._source.predict(images[there], ids[there]))
            self._guard.watch(output.logits[rows], known.logits)
        return self._guard.verdict()

    def _return(self, why: str) -> None:
        """Return the network to the source, and let the source answer for a while."""
        assert self._guard is not None and self._start is not None
        self.method.load_state_dict(self._start)
        self._guard.forget()
        self.returns += 1
        self._rest = PAUSE * 2 ** min(self.returns - 1, MOST_DOUBLINGS)
        LOG.warning(
            "image %d: the network is returned to the source: %s; it adapts again after %d images",
            *(self.seen + 1, why, self._rest),
        )

    def _finite(self, output: Output) -> Output:
        if not output.logits.isfinite().all():
            raise ValueError(
                f"the network's answers after image {self.seen} of the stream are not finite: its "
                "weights are broken, or the adaptation diverged: lower its lr, keep the guard, or "
                "leave it out"
            )
        return output

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the next answers depend on, for the argument `state`."""
        state = {
            "about": self._about,
            "seen": self.seen,
            "method": self.method.state_dict(),
            "guard": None if self._guard is None else self._guard.state_dict(),
            "returns": self.returns,
            "rest": self._rest,
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, as if this stream had answered what came before it.

        Raises:
            ValueError: the state is of another method, normaliser or network.
        """
        held = state.get("guard") if isinstance(state, dict) else None
        require_alike(state, STATE | {"guard": None if held is None else {}}, "state of a stream")
        for name, was in state["about"].items():
            if was != self._about.get(name):
                raise ValueError(
                    f"the state is of a stream with {name} {was}, and this has "
                    f"{self._about.get(name)}: give the same, or start without a state"
                )
        require_alike(state["method"], self._began, "state of the method")
        if self._guard is not None and held is not None:
            own = self._guard.state_dict()
            require_alike(own | held, own, "state of a guard")  # older ones have fewer parts
            self._guard.load_state_dict(held)
        self.method.load_state_dict(state["method"])
        self.seen, self.returns, self._rest = (state[name] for name in ("seen", "returns", "rest"))

    def save(self, path: str | Path) -> None:
        """Write the state to a file, whole or not at all.

        Raises:
            StorageError: the file cannot be written.
        """
        state = self.state_dict()
        write_atomically(Path(path), lambda draft: torch.save(state, draft))


def _on_cpu(output: Output) -> Output:
    return Output(*(each.detach().float().cpu() for each in output))
