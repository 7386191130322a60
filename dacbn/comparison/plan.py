"""Where the cells of a comparison are trained: in this process, on workers, or as one of shards."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple, Self, TypeVar

from dacbn.spelling import spell

T = TypeVar("T")


class Shard(NamedTuple):
    """One of several parts of a comparison, each trained by a process of its own.

    Attributes:
        number: which part, from 1.
        of: how many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "3/16".

        Raises:
            ValueError: it is no such pair.

        Example:
            >>> Shard.parse("3/16")
            Shard(number=3, of=16)
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        shard = cls(*map(int, found.groups())) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise ValueError(
                f"{spell('shard')} is which part of how many, from 1/16 to 16/16: got {text}"
            )
        return shard

    def share(self, items: Sequence[T]) -> list[T]:
        """Return the items of this part: neighbours, so that it holds different norms and methods.

        Example:
            >>> [Shard(number, 3).share("abcdefgh") for number in (1, 2, 3)]
            [['a', 'b'], ['c', 'd', 'e'], ['f', 'g', 'h']]
        """
        first, end = (len(items) * number // self.of for number in (self.number - 1, self.number))
        return list(items[first:end])


class Plan(NamedTuple):
    """Where cells are trained; by default one by one in this process.

    Attributes:
        workers: how many cells are trained at once on this machine; None without workers.
        ray: address of a Ray cluster, or "auto" for the one that this machine is part of.
        cpus: threads of each cell, and on Ray its CPUs. None: as many as the cells before it in the
            folder; in a new one torch's number, on workers of this machine its CPUs divided among
            them, and on a cluster one.
        gpus: GPUs of each cell on Ray, or the share of one. None: on a machine with GPUs these
            divided among the workers, on a cluster with GPUs one.
        shard: the part of the cells that this process trains; None trains all.
    """

    workers: int | None = None
    ray: str | None = None
    cpus: int | None = None
    gpus: float | None = None
    shard: Shard | None = None

    @property
    def on_ray(self) -> bool:
        """Whether Ray trains the cells."""
        return self.workers is not None or self.ray is not None

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: one is out of range, or two exclude each other.
        """
        for name in ("workers", "cpus"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{spell(name)} must be at least 1, got {value}")
        if self.workers is not None and self.ray is not None:
            raise ValueError(
                f"{spell('workers')} are of this machine, and {spell('ray')} is a cluster: "
                "give one of them"
            )
        if self.gpus is None:
            return
        if not self.on_ray:
            raise ValueError(
                f"{spell('gpus')} is for cells on workers: add {spell('workers')} or "
                f"{spell('ray')}, or choose {spell('device', 'cuda')}"
            )
        whole = math.isfinite(self.gpus) and self.gpus == int(self.gpus)
        if not (0 <= self.gpus < 1 or (whole and self.gpus >= 1)):
            raise ValueError(
                f"{spell('gpus')} is a share of one GPU, or a whole number: got {self.gpus:g}"
            )
