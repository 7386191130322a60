"""Training and evaluation mode of all modules of a network, kept for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Give every module of model the mode back that it had before the `with` block.

    Setting `training` alone, rather than calling `train`, leaves modules in peace whose modes
    differ from their parents'.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
