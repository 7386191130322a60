"""One stream: a trained network answers it in order, and its errors over time are counted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from dacbn.batch import domain_ids
from dacbn.benchmarks.protocols import PROTOCOLS, arrange
from dacbn.benchmarks.stream_cell import TRAINED, Cell, Row
from dacbn.datasets import LabelledImages
from dacbn.models import Network
from dacbn.streams import build_method

POINTS = 40  # of the curve of errors over time


def run_cell(
    network: Network,
    parts: dict[str, LabelledImages],
    cell: Cell,
    cluster_id: int = 0,
    reset: bool | None = None,
    concentration: float = 0.1,
) -> Row:
    """Let a network answer a stream, and count its errors.

    Args:
        network: a trained network, which is not changed.
        parts: domains by name; all have the network's classes.
        cell: what to run.
        cluster_id: the domain whose statistics answer, where each has its own.
        reset: return to the source before each part; None leaves it to the protocol.
        concentration: see `arrange`.

    Returns:
        the fields of the cell; "error" of all images and of the "last_tenth", in [0, 1]; "parts",
        the error of each part; "curve", the errors of as many stretches of time,
        "images_per_second", and how many "images", "part_images" of each part and "classes" there
        are.
    """
    if cell.batch_size > 1 and PROTOCOLS[cell.protocol].single:
        raise ValueError(f"protocol single answers one image at a time, got {cell.batch_size}")
    order = arrange(
        cell.protocol, [part.labels for part in parts.values()], cell.seed, concentration
    )
    domains = list(parts.values())
    resets = PROTOCOLS[cell.protocol].reset if reset is None else reset
    wrong, seconds = [], 0.0
    for stretch in stretches(order, resets and not PROTOCOLS[cell.protocol].mixed):
        answer = answering(network, cell.norm, cell.method, cluster_id)
        for rows in torch.split(stretch, cell.batch_size):
            images, truth = gather(domains, rows)
            began = time.perf_counter()
            answers = answer(images)
            seconds += time.perf_counter() - began
            wrong.append((answers != truth).double())
    errors = torch.cat(wrong)
    return {
        **asdict(cell),
        "error": errors.mean().item(),
        "last_tenth": errors[-max(1, len(errors) // 10) :].mean().item(),
        "parts": {
            name: errors[order[:, 0] == part].mean().item() for part, name in enumerate(parts)
        },
        "curve": [each.mean().item() for each in errors.tensor_split(min(POINTS, len(errors)))],
        "images_per_second": len(errors) / seconds,
        "images": len(errors),
        "part_images": {name: len(part) for name, part in parts.items()},
        "classes": len(domains[0].classes or ()),
    }


def answering(
    network: Network, norm: str, method: str | None, cluster_id: int
) -> Callable[[Tensor], Tensor]:
    """Return what answers images (B, 3, S, S), uint8, by labels (B,), and follows them.

    Args:
        network: is not changed.
        norm: see `Cell`.
        method: see `Cell`.
        cluster_id: see `run_cell`.
    """
    answers_by = build_method(network, method, None if norm == TRAINED else norm, [cluster_id])

    def answer(images: Tensor) -> Tensor:
        pixels = images.to(answers_by.network.pixel_mean.device).float() / 255
        ids = domain_ids(len(pixels), cluster_id, pixels.device)
        return answers_by.predict(pixels, ids).logits.argmax(1).cpu()

    return answer


def stretches(order: Tensor, by_part: bool) -> Sequence[Tensor]:
    """Split an order where the network returns to the source."""
    if not by_part:
        return [order]
    changes = torch.nonzero(order[1:, 0] != order[:-1, 0])[:, 0] + 1
    return order.tensor_split(changes)


def gather(domains: Sequence[LabelledImages], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Fetch images (B, 3, S, S) and labels (B,) of rows (B, 2) of parts and indices."""
    size = domains[0].images.size
    images = torch.empty(len(rows), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(rows), dtype=torch.int64)
    for part in sorted(set(rows[:, 0].tolist())):
        here = rows[:, 0] == part
        images[here] = domains[part].images.gather(rows[here, 1]).cpu()
        labels[here] = domains[part].labels[rows[here, 1]]
    return images, labels
