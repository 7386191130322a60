"""Activation checkpointing: a backward pass runs the forward again, and must get the same result.

A layer whose training moves what it reads has to read, the second time, what it read the first
time, and must not move it again.

torch.compile recomputes too: its backward passes derive anew what is cheap to derive, from the
inputs of the graph, even where the graph has moved these in place meanwhile (torch 2.14), as
layers move their buffers. It keeps what an operator returns that it does not know. A checkpoint
inside of compiled code, or around it, runs the operator again all the same, which refuses.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.routes import is_exported, is_transformed

# Forward passes, at most, between one and its recomputation.
REMEMBERED = 16
# Tells whether tensors saved for backward are intercepted, as by a checkpoint; not in every torch.
_saving_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


def is_recomputation() -> bool:
    """Whether this forward pass runs inside of a backward pass."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


class PastTables:
    """What a layer read in its last forward passes, while they are checkpointed.

    A recomputation finds its tables by its activations: those of the pass whose channels had the
    nearest means. The device compares them, so that no step waits for it.
    """

    def __init__(self) -> None:
        self._passes: deque[tuple[torch.Size, Tensor, tuple[Tensor, ...]]]
        self._passes = deque(maxlen=REMEMBERED)

    def read(self, x: Tensor, *tables: Tensor) -> tuple[Tensor, ...]:
        """Return the tables, or what they were when these activations x (N, C, *) came first.

        Raises:
            RuntimeError: x is recomputed, and the pass that came first was not checkpointed.
        """
        if torch.compiler.is_compiling():
            return copied(tables)
        if is_recomputation():
            return self._recall(x)
        if _may_be_recomputed():
            copies = tuple(_copy(table) for table in tables)
            self._passes.appendleft((x.shape, _means(x), copies))
        return tables

    def _recall(self, x: Tensor) -> tuple[Tensor, ...]:
        passes = [(means, tables) for shape, means, tables in self._passes if shape == x.shape]
        if not passes:
            raise RuntimeError(
                "a layer that finds clusters runs in training during a backward pass, and has not "
                "seen the pass that this repeats: checkpoint by torch.utils.checkpoint, and layers "
                "that share a gate with use_reentrant=False"
            )
        means, tables = zip(*passes, strict=True)
        with torch.no_grad():
            distance = (torch.stack(means) - _means(x)).abs().sum(1)
            nearest = distance.argmin()[None]
            found = [
                torch.stack(each).index_select(0, nearest)[0] for each in zip(*tables, strict=True)
            ]
        # what was saved for backward is compared, and depends on what needs a gradient
        return tuple(
            each.requires_grad_(first.requires_grad)
            for each, first in zip(found, tables[0], strict=True)
        )

    def __reduce__(self) -> tuple[Any, ...]:  # of a copy, nothing is to be recomputed
        return PastTables, ()


def copied(tables: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copy tables that may move in place before a backward pass, which reads the copies."""
    if torch.compiler.is_compiling() and not is_exported():
        return tuple(_copied(tables))
    return tuple(table.clone() for table in tables)


@torch.library.custom_op("dacbn::copied", mutates_args=(), schema="(Tensor[] tables) -> Tensor[]")
def _copied(tables: Sequence[Tensor]) -> list[Tensor]:
    if is_recomputation():
        raise RuntimeError(
            "a compiled layer runs again in a backward pass, after its statistics have moved: "
            "checkpoint without torch.compile, or compile without checkpoints"
        )
    return [table.clone() for table in tables]


@_copied.register_fake
def _like(tables: Sequence[Tensor]) -> list[Tensor]:
    return [torch.empty_like(table) for table in tables]


_copied.register_autograd(lambda _, gradients: gradients)


def _may_be_recomputed() -> bool:
    """Whether a checkpoint may be around: it saves by hooks, or keeps no gradients at first.

    Torch refuses checkpoints inside of the transforms of `torch.func`.
    """
    if is_transformed():
        return False
    return not torch.is_grad_enabled() or _saving_hooks is None or _saving_hooks(True) is not None


def _copy(table: Tensor) -> Tensor:
    return table.detach().clone().requires_grad_(table.requires_grad)


@torch.no_grad()
def _means(x: Tensor) -> Tensor:
    """Compute each channel's mean, (C,), of x (N, C, *)."""
    return x.transpose(0, 1).flatten(1).mean(1, dtype=torch.float32)
