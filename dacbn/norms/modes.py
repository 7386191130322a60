"""Restore the training or evaluation mode of all modules of a network after a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Restore the mode of every module of model after the `with` block.

    `training` is set directly, because `train` would also change modules whose modes differ from
    their parents'.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            if module.training is not mode:  # to set it takes as long as a small operation
                module.training = mode
