"""TensorBoard events of a run: scalars, images of a batch, an embedding of it, and the settings.

The images are the first batch of the training, as the network sees them. At the end their features
go to the projector; those of the target are named by the predicted class, because no training
knows its labels.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dacbn.batch import TARGET, Batch, TargetBatch, domain_ids
from dacbn.models import Network
from dacbn.processes import as_one_process

SHOWN = 16  # images of a domain
SPRITE = 32  # pixels per side of the projector's pictures
AnyBatch = Batch | TargetBatch


class Events:
    """Write the events of a run.

    Args:
        folder: the run folder.
        resume_at: events of later steps are dropped, because the resumed run writes them again.
        first: a batch of images, if those of the training are features of a frozen backbone.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, resume_at: int, first: AnyBatch | None = None) -> None:
        self._writer = _open(folder, resume_at)
        self._first = first
        self._batch: AnyBatch | None = None
        self._network: Network | None = None
        self._last: dict[str, float] = {}
        self._step = resume_at

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write numbers of a step."""
        self._step = step
        self._last |= numbers
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)

    def watch(self, batches: Iterable[AnyBatch], network: Network) -> Iterator[AnyBatch]:
        """Return the batches of a training of a network, of which the first is kept and shown."""
        self._network = network
        for batch in batches:
            if self._batch is None:
                self._batch = self._first or batch
                self._show(self._batch)
            yield batch

    def finish(self, classes: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Write the settings with the last numbers, and the features of the first batch."""
        from torch.utils.tensorboard.summary import hparams

        known = {name: _to_setting(value) for name, value in settings.items()}
        last = {name: number for name, number in self._last.items() if math.isfinite(number)}
        for each in hparams(known, last):  # type: ignore[no-untyped-call]
            self._writer.file_writer.add_summary(each)
        if self._batch is None or self._network is None:
            return
        if all(images.ndim == 4 for _, images, _ in _parts(self._batch)):
            self._project(self._batch, self._network, classes)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _show(self, batch: AnyBatch) -> None:
        for name, images, _ in _parts(batch):
            if images.ndim == 4:  # no features of a frozen backbone
                self._writer.add_images(name, images[:SHOWN].float().cpu(), self._step)

    def _project(self, batch: AnyBatch, network: Network, classes: Sequence[str]) -> None:
        features: list[Tensor] = []
        pictures: list[Tensor] = []
        rows: list[list[str]] = []
        was_training = network.training
        network.eval()
        with torch.no_grad(), as_one_process():
            for name, images, domains in _parts(batch):
                output = network(images, domains)
                features.append(output.features.float().cpu())
                pictures.append(functional.interpolate(images.float(), SPRITE, mode="area").cpu())
                shown = output.logits.argmax(1)
                if name == "source" and isinstance(batch, Batch):
                    shown = batch.source_labels
                rows += [[name, _to_cell(classes[label])] for label in shown.tolist()]
        network.train(was_training)
        self._writer.add_embedding(
            torch.cat(features),
            *(rows, torch.cat(pictures)),
            global_step=self._step,
            tag="features",
            metadata_header=["domain", "class"],
        )


def _parts(batch: AnyBatch) -> list[tuple[str, Tensor, Tensor]]:
    """Return the name, images and domain ids of the source and of the target."""
    if isinstance(batch, TargetBatch):
        images = batch.target_images
        return [("target", images, domain_ids(len(images), TARGET, images.device))]
    return [
        ("source", batch.source_images, batch.source_domains),
        ("target", batch.target_images, batch.target_domains),
    ]


def _to_setting(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _to_cell(text: str) -> str:
    return " ".join(text.split())  # a tab or line break would end the cell


def _open(folder: Path, resume_at: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            'TensorBoard is not installed: pip install "dacbn[tensorboard]", or train without it'
        ) from error
    return SummaryWriter(str(folder), purge_step=resume_at + 1)
