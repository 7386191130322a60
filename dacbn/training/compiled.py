"""Compiling what training calls of a network, and nothing else.

Evaluation, whose batches have other sizes, would compile it again, and whoever takes a trained
network away wants a plain module. So a network keeps its own forward except within a training step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dacbn.training.storage import first_line


def compile_forward(network: nn.Module) -> Callable[..., Any]:
    """Compile a network's forward, when it is first called.

    What torch.compile cannot trace runs as it is, between compiled parts. The function raises
    ValueError where the compiler itself fails.
    """
    compiled = torch.compile(network.forward)

    def forward(*inputs: Any) -> Any:
        try:
            return compiled(*inputs)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            cause = getattr(error, "inner_exception", error)
            raise ValueError(
                f"torch.compile fails on this network ({first_line(cause)}): train without "
                "--compile"
            ) from error

    return forward


@contextmanager
def use_forward(network: nn.Module, forward: Callable[..., Any] | None) -> Iterator[None]:
    """Let calls of a network run another forward for a while; None leaves it its own."""
    if forward is None:
        yield
        return
    vars(network)["forward"] = forward
    try:
        yield
    finally:
        del vars(network)["forward"]
