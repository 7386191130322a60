"""The value of a scalar buffer, known on the host without waiting for the device.

A layer may have to decide in Python by a value that it must also save: whether its components are
still to be initialised, for example. Such a value is a buffer, so that copies, averages,
`load_state_dict` and `functional_call` include it. Reading a buffer makes the host wait for a GPU,
so the value is cached until the buffer changes.
"""

from typing import Any

import torch
from torch import Tensor, nn

from dacbn.norms.mixture.routes import PLAIN_TYPES


class HostValue:
    """A cache of the value of one integer or boolean scalar buffer.

    Args:
        name: of the buffer in its layer.

    Example:
        >>> count, known = torch.tensor(0), HostValue("count")
        >>> known.read(count)
        0
        >>> _ = count.copy_(torch.tensor(3))  # by any means: the change is noticed
        >>> known.read(count)
        3
    """

    def __init__(self, name: str, value: int = 0) -> None:
        self.name = name
        self._value = value
        self._seen: tuple[Tensor, int] | None = None

    def read(self, buffer: Tensor) -> int:
        """Return the buffer's value; read the device only if the buffer has changed.

        A tensor without values (under torch.compile, on the meta device, a fake one) is assumed to
        have the last value read or written.
        """
        if has_values(buffer) and not self._is_known(buffer):
            self._value = int(buffer)
            self._remember(buffer)
        return self._value

    def fill_(self, buffer: Tensor, value: int) -> None:
        """Set the buffer."""
        buffer.fill_(value)
        self._value = value
        self._remember(buffer)

    def add_(self, buffer: Tensor, number: int) -> None:
        """Add to the buffer."""
        known = has_values(buffer) and self._is_known(buffer)
        buffer.add_(number)
        if known:
            self._value += number
            self._remember(buffer)

    def copy(self) -> "HostValue":
        """Return a copy, for `frozen_statistics`."""
        copy = HostValue(self.name, self._value)
        copy._seen = self._seen
        return copy

    def follow(self, buffer: Tensor, copy: Tensor) -> None:
        """Transfer the known value of a buffer to a copy that replaces it."""
        if has_values(buffer) and self._is_known(buffer):
            self._remember(copy)

    def _is_known(self, buffer: Tensor) -> bool:
        if self._seen is None or buffer.is_inference():  # inference tensors count no changes
            return False
        seen, version = self._seen
        return seen is buffer and version == buffer._version

    def _remember(self, buffer: Tensor) -> None:
        if has_values(buffer) and not buffer.is_inference():
            self._seen = buffer, buffer._version

    def __reduce__(self) -> tuple[Any, ...]:  # a copied or loaded layer has another buffer
        return HostValue, (self.name, self._value)


def remember(layer: nn.Module, name: str) -> HostValue:
    """Return a `HostValue` for a buffer of a layer, which is read whenever a state is loaded.

    Under torch.compile nothing can be read, so a loaded value must be read before.
    """
    layer.register_load_state_dict_post_hook(_read_loaded)  # type: ignore[no-untyped-call]
    return HostValue(name)


def _read_loaded(layer: nn.Module, _: object) -> None:
    for value in vars(layer).values():
        if isinstance(value, HostValue):
            value.read(layer.get_buffer(value.name))
    getattr(layer, "uninitialised", None)  # a property that may look further


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor's values can be read: not under torch.compile, on meta, or of a fake one."""
    if torch.compiler.is_compiling():
        return False
    return type(tensor) in PLAIN_TYPES and not tensor.is_meta
