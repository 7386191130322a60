"""Construct a norm as torch's layers are constructed, and remember how."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import nn

Init = TypeVar("Init", bound=Callable[..., None])


def takes_device_and_dtype(init: Init) -> Init:
    """Let a constructor take `device` and `dtype`, as those of torch's layers do.

    They are no options of a norm, so the signature does not show them.
    """

    @wraps(init)
    def extended(
        self: nn.Module,
        *args: Any,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        self.__dict__.setdefault("_arguments", (args, options))  # of the class that is built
        init(self, *args, **options)
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)

    return cast(Init, extended)
