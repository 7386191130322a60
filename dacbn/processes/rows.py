"""Rows of a batch on the processes that they belong to, and the outputs of all of them.

The gradient of what is gathered is, on each process, that of its own rows times the number of
processes W: the mean over processes, which follows, makes it the gradient of the whole batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, reduce
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dacbn.processes.membership import Share, current, sharing
from dacbn.processes.share import Rows, going_back, running, share_out, shared_rows


def by_rows(run: Callable[..., Any], *inputs: Tensor, sizes: Sequence[int] | None = None) -> Any:
    """Run a function of rows on those of this process, and return the outputs for all rows.

    Args:
        run: returns a tensor, or a named tuple of tensors, with a row for each row of the inputs.
        inputs: the whole batch, of N rows each; only the rows of this process are read.
        sizes: rows of the parts that were joined to the inputs; each part is shared out by itself.
            By default it is one.
    """
    share = current()
    if share is None or shared_rows() is not None:
        return run(*inputs)
    rows = share_out(tuple(sizes or (len(inputs[0]),)), share.count)
    own = [_Take.apply(each, rows, share) for each in inputs]
    with running(rows), _own_random_numbers(share.rank, inputs[0].device):
        outputs = run(*own)
    if isinstance(outputs, Tensor):
        return _Gather.apply(rows, share, outputs)[0]
    return type(outputs)(*_Gather.apply(rows, share, *outputs))


def each_by_rows(
    run: Callable[[Tensor], Tensor], batches: Sequence[Tensor], at_once: bool
) -> list[Tensor]:
    """Run a function of rows on each of several batches, as `by_rows` does, in one exchange.

    Args:
        run: returns a tensor with a row for each row of its input.
        batches: (N, *), with an N of its own each.
        at_once: whether rows do not depend on one another, so that several processes may run all
            batches as one; one process runs each by itself in any case.
    """
    share = current()
    if share is None or shared_rows() is not None:
        return [run(each) for each in batches]
    sizes = tuple(len(each) for each in batches)

    def of_own(x: Tensor) -> Tensor:
        lengths = [stop - start for start, stop in row_ranges(x)]
        outputs = []
        for part, size in zip(torch.split(x, lengths), sizes, strict=True):
            with running(share_out((size,), share.count)):
                outputs.append(run(part))
        return torch.cat(outputs)

    together = by_rows(run if at_once else of_own, torch.cat([*batches]), sizes=sizes)
    return list(together.split(sizes))


def batch_rows(x: Tensor) -> int:
    """Return how many samples the batch x (N, *) has on the processes that share statistics."""
    rows, share = shared_rows(), current()
    if rows is None or share is None:
        return x.shape[0]  # not len, which is a constant to a tracer
    counts = rows.counts()
    own, together = counts[share.rank], sum(counts[rank] for rank in share.members)
    return together * (max(1, len(x) // own) if own else 1)


@torch.no_grad()
def gather_whole(x: Tensor) -> Tensor:
    """Return the batch x (N, *) of all processes, in the order that one process would have.

    Raises:
        ValueError: the network has turned positions into samples.
    """
    rows, share = shared_rows(), current()
    if rows is None or share is None:
        return x
    _check_rows(x, rows, share)
    return gathered([x], rows, share)[0]


def _check_rows(x: Tensor, rows: Rows, share: Share) -> None:
    if len(x) != rows.counts()[share.rank]:
        raise ValueError("a layer whose samples are no images cannot start on several processes")


@contextmanager
def whole_batch(*own: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Give all rows of the batch, as `gather_whole` does, to code that then sees one process.

    Yields:
        each of the tensors (N, *), detached, with the rows of all processes.
    """
    whole = tuple(gather_whole(each.detach()) for each in own)
    with as_one_process():
        yield whole


@contextmanager
def as_one_process() -> Iterator[None]:
    """Let code in a `with` block take its batch for a whole one, which all processes have."""
    with sharing(None), running(None):
        yield


def row_ranges(x: Tensor) -> Sequence[tuple[int, int]]:
    """Return where the rows x (N, *) of this process are in the batch: from, and up to, which.

    Raises:
        ValueError: the network has turned positions into samples.
    """
    rows, share = shared_rows(), current()
    if rows is None or share is None:
        return [(0, len(x))]
    _check_rows(x, rows, share)
    return rows.bounds[share.rank]


def gathered(own: Sequence[Tensor], rows: Rows, share: Share) -> list[Tensor]:
    """Gather the rows of tensors (n, *) from all processes, in their order, in one exchange."""
    flat = [each.reshape(len(each), each.shape[1:].numel()) for each in own]
    wide = reduce(torch.promote_types, [each.dtype for each in own])
    widths = [each.shape[1] for each in flat]
    padded = flat[0].new_zeros(max(rows.counts()), sum(widths), dtype=wide)
    for column, each in zip(torch.split(padded, widths, 1), flat, strict=True):
        column[: len(each)] = each
    parts = [torch.empty_like(padded) for _ in range(share.count)]
    dist.all_gather(parts, padded, group=share.group)
    places = _places(rows, padded.device)
    columns = torch.split(torch.cat(parts), widths, 1)
    return [
        column.index_select(0, places).reshape(-1, *each.shape[1:]).to(each.dtype)
        for column, each in zip(columns, own, strict=True)
    ]


def taken(x: Tensor, rows: Rows, rank: int) -> Tensor:
    """Return the rows of a process."""
    parts = [x[start:stop] for start, stop in rows.bounds[rank]]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


@cache
def _places(rows: Rows, device: torch.device) -> Tensor:
    """Return where each row of the batch is among the padded rows of all processes."""
    most = max(rows.counts())
    place = [0] * sum(rows.sizes)
    for rank, parts in enumerate(rows.bounds):
        own = [row for start, stop in parts for row in range(start, stop)]
        for number, row in enumerate(own):
            place[row] = rank * most + number
    return torch.tensor(place, device=device, dtype=torch.int64)


class _Take(torch.autograd.Function):
    """The rows of this process.

    Their gradient is gathered: the process that computed what was taken may be another one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Rows, share: Share) -> Tensor:
        ctx.rows, ctx.share = rows, share
        own = taken(x, rows, share.rank)
        return own.clone() if len(rows.sizes) == 1 else own

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gathered([gradient / ctx.share.count], ctx.rows, ctx.share)[0], None, None


class _Gather(torch.autograd.Function):
    """The rows of all processes; the gradient is that of the own rows, times the processes."""

    @staticmethod
    def forward(ctx: Any, rows: Rows, share: Share, *own: Tensor) -> tuple[Tensor, ...]:
        ctx.rows, ctx.share = rows, share
        ctx.set_materialize_grads(False)
        return tuple(gathered(own, rows, share))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        going_back(ctx.rows)  # for layers that are recomputed
        engine = torch.autograd.Variable._execution_engine
        engine.queue_callback(lambda: going_back(None))
        of_own = [
            None if each is None else taken(each, ctx.rows, ctx.share.rank) * ctx.share.count
            for each in gradients
        ]
        return None, None, *of_own


@contextmanager
def _own_random_numbers(rank: int, device: torch.device) -> Iterator[None]:
    """Let a process draw numbers of its own in a `with` block, such as those of dropout.

    Afterwards all go on with the same numbers, which what follows a gathering needs.
    """
    # the generators alone: torch.manual_seed also tells those of devices that are not in use, and
    # notes who called, which takes up to a millisecond
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index])
    states = [each.get_state() for each in generators]
    drawing = torch.Generator()
    drawing.set_state(states[0])
    drawn = int(torch.randint(1 << 62, (), generator=drawing))
    for each in generators:
        each.manual_seed(drawn + rank)
    try:
        yield
    finally:
        for each, state in zip(generators, states, strict=True):
            each.set_state(state)
