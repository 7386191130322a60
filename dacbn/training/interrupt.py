"""Turn Ctrl-C into a request that the training loop handles between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupt:
    """While active, the first SIGINT or SIGTERM sets `requested`; a second one acts as usual.

    Outside the main thread, where Python does not allow signal handlers, it has no effect.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def _request(self, number: int, _: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, self._previous[number])

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
