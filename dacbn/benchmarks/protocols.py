"""The orders in which the images of several parts arrive in a stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

from dacbn.benchmarks.stream_cell import Protocol


@dataclass(frozen=True)
class Protocols:
    """What a protocol is.

    Attributes:
        reset: whether the network returns to the source before each part.
        correlated: whether labels come in runs.
        mixed: whether all parts come at once.
        single: whether images come one by one.
    """

    reset: bool = False
    correlated: bool = False
    mixed: bool = False
    single: bool = False


PROTOCOLS: dict[Protocol, Protocols] = {
    "iid": Protocols(reset=True),
    "continual": Protocols(),
    "correlated": Protocols(correlated=True),
    "mixed": Protocols(mixed=True),
    "single": Protocols(reset=True, single=True),
}


def arrange(
    protocol: Protocol, labels: Sequence[Tensor], seed: int, concentration: float = 0.1
) -> Tensor:
    """Order the images of all parts.

    Args:
        protocol: "iid", "continual" and "single" shuffle each part, and one follows another;
            "correlated" lets the labels of each part come in runs; "mixed" shuffles all parts
            together.
        labels: of each part, int64 (N,).
        seed: of the order.
        concentration: of the Dirichlet distribution by which the images of a class are spread over
            as many slots of time as there are classes: the smaller, the longer the runs.

    Returns:
        int64 (M, 2), of each image its part and its index in it.

    Example:
        >>> arrange("mixed", [torch.tensor([0, 1]), torch.tensor([0])], seed=0).tolist()
        [[1, 0], [0, 0], [0, 1]]
    """
    kind, generator = PROTOCOLS[protocol], default_rng(seed)
    parts = []
    for part, of_part in enumerate(labels):
        if kind.correlated:
            order = in_runs(of_part.numpy(), generator, concentration)
        else:
            order = generator.permutation(len(of_part))
        parts.append(np.stack([np.full(len(order), part), order], 1))
    rows = np.concatenate(parts)
    return torch.from_numpy(generator.permutation(rows) if kind.mixed else rows)


def in_runs(
    labels: np.ndarray[tuple[int], np.dtype[np.int64]], generator: Generator, concentration: float
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Order images so that labels come in runs.

    The images of each class are spread over slots of time, as many as classes, by shares from a
    Dirichlet distribution; in a slot, one class follows another.

    Paper: Gong et al., "NOTE: Robust Continual Test-time Adaptation Against Temporal Correlation",
    NeurIPS 2022, https://arxiv.org/abs/2208.05117.
    """
    classes = np.unique(labels)
    slots: list[list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = [[] for _ in classes]
    for label in classes:
        members = generator.permutation(np.flatnonzero(labels == label))
        shares = generator.dirichlet([concentration] * len(classes))
        ends = np.round(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for slot, run in zip(slots, np.split(members, ends), strict=True):
            slot.append(run)
    runs = [slot[place] for slot in slots for place in generator.permutation(len(slot))]
    return np.concatenate(runs)
