"""torch.compile, used for training steps only.

Evaluation uses other batch sizes, which would compile again, and a trained network should be a
plain module. So the compiled forward replaces the network's own only within a training step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dacbn.spelling import spell
from dacbn.training.storage import first_line


def compile_forward(network: nn.Module) -> Callable[..., Any]:
    """Return a compiled version of a network's forward; it is compiled in the first call.

    Code that torch.compile cannot trace runs uncompiled, between compiled parts. The returned
    function raises ValueError if the compiler itself fails.
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
                f"{spell('compile', True)}"
            ) from error

    return forward


@contextmanager
def use_forward(network: nn.Module, forward: Callable[..., Any] | None) -> Iterator[None]:
    """Temporarily replace `network.forward` (no change for None)."""
    if forward is None:
        yield
        return
    vars(network)["forward"] = forward
    try:
        yield
    finally:
        del vars(network)["forward"]
