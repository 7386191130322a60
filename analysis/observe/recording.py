"""What is kept of the activations of a network, and how much of it fits into memory."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dacbn.analysis.observe.assignments import CHANNELS, Assigned, mixture_of
from dacbn.norms import Mixture

POSITIONS = 64  # of each image and layer, at most
FLOAT = 4  # bytes


@dataclass(frozen=True, eq=False)
class Activations:
    """What one layer did with N images of one domain: float32, on the CPU.

    Args:
        inputs: P positions of each image, (N, P, C).
        outputs: the same positions after the layer, (N, P, C).
        pooled_inputs: means over all positions, (N, C).
        pooled_outputs: the same after the layer, (N, C).
        assigned: to the clusters of the layer, if it has a mixture.
    """

    inputs: Tensor
    outputs: Tensor
    pooled_inputs: Tensor
    pooled_outputs: Tensor
    assigned: Assigned | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """What the normalisers of a network did with samples of its domains.

    Args:
        images: by domain, which images of its sample passed, int64 (N,).
        layers: by name in the order in which they ran, then by domain.
        mixtures: of the layers that have one.
        left_out: layers that did not run, or for which an image is not one sample.
    """

    images: dict[str, Tensor]
    layers: dict[str, dict[str, Activations]]
    mixtures: dict[str, Mixture]
    left_out: tuple[str, ...] = ()


def plan(
    modules: dict[str, nn.Module],
    shapes: dict[str, tuple[int, int]],
    num_domains: int,
    images: int,
    budget: int,
) -> tuple[int, int]:
    """Decide how many images of each domain, and positions of each image, fit a budget.

    Args:
        modules: the layers.
        shapes: their channels and positions (C, L).
        num_domains: how many share the budget.
        images: at most, of each.
        budget: bytes.

    Raises:
        ValueError: it holds less than two images.
    """
    bare = [blank(module, *shapes[name], 1, 0) for name, module in modules.items()]
    per_image = sum(size_of_activations(each) for each in bare)
    per_position = sum(2 * FLOAT * channels for channels, _ in shapes.values())
    share = budget // num_domains
    if not shapes or share < 2 * (per_image + per_position):
        raise ValueError(
            f"a recording of {len(shapes)} layers does not fit {budget:,} bytes: raise budget, or "
            "choose fewer layers"
        )
    kept = min(images, share // (per_image + per_position))
    return kept, min(POSITIONS, (share // kept - per_image) // per_position)


def blank(
    module: nn.Module, channels: int, length: int, images: int, positions: int
) -> Activations:
    """Make room for N images with P positions each."""
    mixture, assigned = mixture_of(module), None
    if mixture is not None:
        groups = min(channels, CHANNELS) if mixture.assign == "channel" else 1
        shape = images, groups, len(mixture.mean)
        assigned = Assigned(torch.empty(shape), torch.empty(shape), torch.empty(shape[:2]))
    at = images, min(positions, length), channels
    of = images, channels
    return Activations(torch.empty(at), torch.empty(at), torch.empty(of), torch.empty(of), assigned)


def size_of_activations(activations: Activations) -> int:
    """Count the bytes of what a layer did."""
    tensors = [
        activations.inputs,
        activations.outputs,
        activations.pooled_inputs,
        activations.pooled_outputs,
        *(activations.assigned or ()),
    ]
    return sum(tensor.nbytes for tensor in tensors)
