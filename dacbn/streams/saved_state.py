"""Whether what is given as the state of a stream is one, also if it was written by hand."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CURE = "give what the state_dict of a stream returned, or begin without a state"
FILE_CURE = "give the file that the save of a stream wrote, or begin without a state"


def read_state(path: str | Path) -> dict[str, Any]:
    """Read what `Stream.save` wrote; the file cannot run code.

    Raises:
        ValueError: the file cannot be read, or is something else.
    """
    try:
        state: dict[str, Any] = torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}: {FILE_CURE}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError) as error:
        # text raises one of several types, by its first letter
        raise ValueError(f"{path} is no saved state of a stream: {FILE_CURE}") from error
    return state


def require_alike(given: object, own: Mapping[str, Any], what: str) -> None:
    """Refuse a state whose parts are not of the kinds of a stream's own.

    Args:
        given: a state, or a part of one.
        own: the same part of the stream that is to go on from it, as it began. What is None there
            comes later, as a number, a tensor or a list of tensors.
        what: the part, for the message.

    Raises:
        ValueError: a part is missing, is another one, or is of another kind or shape.
    """
    if not isinstance(given, Mapping) or set(given) != set(own):
        raise ValueError(f"this is no {what}: {CURE}")
    for name, value in own.items():
        if not _is_alike(given[name], value):
            raise ValueError(f"{name} is wrong in this {what}: {CURE}")


def _is_alike(given: object, own: object) -> bool:
    if own is None:
        return given is None or isinstance(given, Tensor | float | list)
    if isinstance(own, Tensor):
        return isinstance(given, Tensor) and given.shape == own.shape
    if isinstance(own, Mapping):
        return isinstance(given, Mapping)
    return type(given) is type(own)
