"""What the first process does for all, and what all say to each other, outside of the steps."""

from collections.abc import Callable
from typing import TypeVar

from dacbn.processes.membership import current

T = TypeVar("T")


class Elsewhere(RuntimeError):  # noqa: N818  # the error is another one, which is reported there
    """The first process has failed, and reports why."""


class LostProcessError(RuntimeError):
    """Another process has ended, or does not answer."""


def lead(run: Callable[[], T]) -> T:
    """Run a function on the first process, and return on all what it returns.

    Raises:
        Elsewhere: it raised an error, which only the first process raises itself.
    """
    share = current()
    if share is None:
        return run()
    import torch
    import torch.distributed as dist

    error: Exception | None = None
    answer: list[T | str | None] = [None, None]
    if share.rank == 0:
        try:
            answer[0] = run()
        except Exception as caught:
            error, answer[1] = caught, str(caught)
    dist.broadcast_object_list(answer, src=0, group=share.group, device=torch.device("cpu"))
    if error is not None:
        raise error
    if answer[1] is not None:
        raise Elsewhere(str(answer[1]))
    return answer[0]  # type: ignore[return-value]


def tell_all(value: T) -> list[T]:
    """Return what each process says, in their order."""
    share = current()
    if share is None:
        return [value]
    import torch.distributed as dist

    said: list[T] = [value] * share.count
    dist.all_gather_object(said, value, group=share.signals)
    return said
