"""Commands that run a network on several processes, each of which takes its batches."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import ParamSpec

P = ParamSpec("P")


def by_turns(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command with an argument `device` join the processes that a launcher has started."""

    @wraps(command)
    def on_all(*args: P.args, **kwargs: P.kwargs) -> None:
        from dacbn.processes import joined
        from dacbn.training import choose_device

        given = signature(command).bind(*args, **kwargs)
        given.apply_defaults()
        with joined(choose_device(given.arguments["device"])):
            command(*args, **kwargs)

    return on_all
