"""Hold the images of a step against the memory that is free, before they take it.

The least that a step needs is counted, so that nothing is refused that would run.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dacbn.memory import require_memory
from dacbn.spelling import spell

PIXEL_BYTES = 3 * 4  # float32, RGB
ACTIVATION_BYTES = 2  # in bfloat16; float32 takes twice that


def check_batch(
    sizes: dict[str, int], image_size: int, device: torch.device, activations: int = 0
) -> None:
    """Refuse batches whose images, and activations of one domain, need more memory than is free.

    A batch may be larger than its domain, whose images it then holds several times.

    Args:
        sizes: images of a step, by the name of the setting; those of one domain per name.
        image_size: pixels per side.
        device: device of the training.
        activations: numbers that one image leaves for the backward pass.

    Raises:
        ValueError: the memory does not suffice.
    """
    images = sum(sizes.values()) * image_size**2 * PIXEL_BYTES
    first = next(iter(sizes))  # methods may leave the activations of others out
    what = f"a step with {_spell_all(sizes)} and images of {image_size} pixels per side"
    if activations:
        what += f", {activations:,} activations for each of {spell(first)}"
    needed = images + sizes[first] * activations * ACTIVATION_BYTES
    require_memory(needed, what, _cure(sizes), device)


@contextmanager
def memory_watched(sizes: dict[str, int]) -> Iterator[None]:
    """Say what to change when a step runs out of memory.

    Raises:
        ValueError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        if not known and "can't allocate memory" not in str(error):  # torch's words on a CPU
            raise
        raise ValueError(
            f"the memory ran out in a step with {_spell_all(sizes)}: {_cure(sizes)}"
        ) from error


def _spell_all(sizes: dict[str, int]) -> str:
    return " and ".join(spell(name, size) for name, size in sizes.items())


def _cure(sizes: dict[str, int]) -> str:
    return f"lower {' or '.join(map(spell, sizes))}, or choose smaller images or another network"


def count_activations(network: nn.Module, run: Callable[[], Any]) -> int:
    """Count the numbers that a backward pass would read of a forward pass, at least.

    They are the inputs of convolutions and linear layers whose weights are trained.
    """
    total, seen = 0, dict[int, weakref.ref[torch.Tensor]]()

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal total
        x = inputs[0]
        if id(x) not in seen or seen[id(x)]() is not x:  # several layers may read one tensor
            seen[id(x)] = weakref.ref(x)
            total += x.numel()

    handles = [
        layer.register_forward_pre_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.requires_grad
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return total
