"""An exportable adapter that answers streams: images that arrive in an order, without end."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dacbn.batch import SOURCE
from dacbn.datasets import UNKNOWN, OnUnreadable, UnlabelledLike, iterate
from dacbn.exportable_adapter import ExportableAdapter
from dacbn.methods import EATA, OnlineMethod
from dacbn.streams import Arriving, Stream, Unadapted, arrive, build_method
from dacbn.streams.saved_state import read_state
from dacbn.training import answering_ids, one_domain

LOG = logging.getLogger(__name__)


class StreamingAdapter(ExportableAdapter):
    """An `ExportableAdapter` with `stream`."""

    def stream(
        self,
        images: Arriving,
        adapt: str | None = None,
        norm: str | None = None,
        batch_size: int = 64,
        domain: str | int | None = None,
        on_unreadable: OnUnreadable | None = None,
        guard: bool = True,
        state: str | Path | dict[str, Any] | None = None,
        source: UnlabelledLike | None = None,
    ) -> Stream:
        """Answer images in the order in which they arrive, batch by batch, and follow them.

        A batch is answered when it is asked for, and learned from afterwards; no image is kept, so
        that a stream may be endless. The network of this adapter is not changed.

        Args:
            images: any iterable, also without length or end: files, pictures of Pillow, arrays,
                batches of these, or pairs with labels, which are dropped; or what `predict` takes.
            adapt: a test-time method, such as "tent" or "lame"; None does not adapt.
            norm: normalisers that take the place of the trained BatchNorms and follow the stream,
                such as "unmix_norm"; None keeps those of the training.
            batch_size: images that are answered together, and learned from together.
            domain: the domain whose statistics answer, if the normalisers know domains; see
                `predict_proba`.
            on_unreadable: give images that cannot be read an answer with the reason ("skip"), or
                "raise"; None takes the setting of the training.
            guard: return the network to the source where its answers collapse; where images come
                one by one, let the source answer until what was learned shows its worth.
            state: the state of an earlier stream to go on from: what its `state_dict` returned, or
                the file that its `save` wrote.
            source: images of the source, for a method that learns from them what to hold on to
                (eata); None does without.

        Returns:
            an iterator of `StreamedAnswers`.

        Raises:
            NotFittedError: there is no network yet.
            UnknownNameError: there is no such method or normaliser.
            ValueError: the network has nothing to adapt, a norm that knows domains is told none, or
                the state is of another stream. While it is read: there is no image, or one that
                cannot be taken.

        Example:
            >>> import numpy as np
            >>> from dacbn import DomainAdapter
            >>> images = np.zeros((3, 32, 32, 3), dtype=np.uint8)
            >>> adapter = DomainAdapter(steps=1).fit((images, ["ant", "bee", "ant"]), images)
            >>> stream = adapter.stream((image for image in images), adapt="tent", batch_size=2)
            >>> sum(len(batch.answers) for batch in stream)
            3
        """
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, and whole, got {batch_size!r}")
        reading = self._reading(on_unreadable)
        ids = answering_ids(self.network, self.config, domain)
        if adapt is not None:
            one_domain(ids)
        method = build_method(self.network, adapt, norm, ids)
        self._anchor(method, adapt, source)
        stream = Stream(
            arrive(images, self._size, batch_size, **reading),
            method,
            ids[0],
            self.labels_of,
            (*self.classes, UNKNOWN),
            {"adapt": adapt, "norm": norm, "network": fingerprint(self.network)},
            Unadapted(self.network, ids, follows=False) if guard and adapt is not None else None,
            on_proof=batch_size == 1 and isinstance(method, OnlineMethod) and method.by_batch,
        )
        if state is not None:
            stream.load_state_dict(read_state(state) if isinstance(state, str | Path) else state)
        return stream

    def _anchor(self, method: object, name: str | None, source: UnlabelledLike | None) -> None:
        """Let a method learn from source images what to hold on to, or say that there are none."""
        if not isinstance(method, EATA):
            if source is not None:
                raise ValueError(
                    f"{name or 'a stream without a method'} takes no source images: leave them "
                    "out, or choose eata"
                )
        elif source is None:
            LOG.info("%s has no source images: it holds no weights near those of the source", name)
        else:
            device = next(self.network.parameters()).device
            batches = iterate(self.images_of(source, train=True), 64, device, seed=0)
            method.learn_source(batches, SOURCE)


def fingerprint(network: nn.Module) -> str:
    """Return a short text that differs between networks of other weights or statistics."""
    hashed = hashlib.sha256()
    for name, value in network.state_dict().items():
        hashed.update(name.encode())
        hashed.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()[:8]
