"""Losses and metrics since the last log, on the device until they are read together."""

import time

import torch
from torch import Tensor

from dacbn.methods import Step
from dacbn.training.metrics import STEPS_PER_SECOND


class DivergedError(RuntimeError):
    """A loss or a weight became infinite or NaN."""


class MetricWindow:
    """Losses and metrics of the steps since the last log.

    Attributes:
        losses: names of the losses, as opposed to the metrics.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []
        self._names: list[str] = []
        self.losses: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Forget all steps and restart the clock."""
        self._rows.clear()
        self._started = time.perf_counter()

    def add(self, result: Step) -> None:
        """Store the numbers of a step, without synchronising with the device."""
        self._names = [*result.losses, *result.metrics]
        self.losses = list(result.losses)
        values = [*result.losses.values(), *result.metrics.values()]
        self._rows.append(torch.stack([value.detach().float() for value in values]))

    def read(self, step: int) -> dict[str, float]:
        """Average the stored numbers, of which those of `step` are the last; add steps per second.

        Raises:
            DivergedError: a loss was infinite or NaN; the text names the first step and the loss.
        """
        table = torch.stack(self._rows).cpu()
        seconds = time.perf_counter() - self._started
        bad = (~table[:, : len(self.losses)].isfinite()).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            first = step - len(table) + row + 1
            raise DivergedError(
                f"the {self._names[column]} loss became {table[row, column].item()} at step {first}"
            )
        averages = dict(zip(self._names, table.mean(0).tolist(), strict=True))
        return {**averages, STEPS_PER_SECOND: len(table) / seconds}
