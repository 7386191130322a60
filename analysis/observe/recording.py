"""Recorded activations of a network, and their number for a memory budget."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dacbn.analysis.observe.assignments import MAX_CHANNELS, Assigned, mixture_of
from dacbn.norms import Mixture

MAX_POSITIONS = 64  # of each image and layer
FLOAT_BYTES = 4


@dataclass(frozen=True, eq=False)
class Activations:
    """Inputs and outputs of one layer for N images of one domain: float32, on the CPU.

    Args:
        inputs: P positions of each image, (N, P, C).
        outputs: the same positions after the layer, (N, P, C).
        pooled_inputs: means over all positions, (N, C).
        pooled_outputs: the same after the layer, (N, C).
        assigned: assignments to the clusters of the layer, if it has a mixture.
    """

    inputs: Tensor
    outputs: Tensor
    pooled_inputs: Tensor
    pooled_outputs: Tensor
    assigned: Assigned | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """Inputs and outputs of the normalisers of a network for samples of its domains.

    Args:
        images: by domain, the indices in its sample of the recorded images, int64 (N,).
        layers: by name, in the order in which they ran, then by domain.
        mixtures: of the layers that have one.
        left_out: layers that did not run, or for which an image is not one sample.
    """

    images: dict[str, Tensor]
    layers: dict[str, dict[str, Activations]]
    mixtures: dict[str, Mixture]
    left_out: tuple[str, ...] = ()


def plan_recording(
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
        num_domains: number of domains that share the budget.
        images: of each domain, at most.
        budget: bytes.

    Raises:
        ValueError: the budget holds less than two images of each domain.
    """
    without_positions = [
        empty_activations(module, *shapes[name], 1, 0) for name, module in modules.items()
    ]
    per_image = sum(count_bytes(each) for each in without_positions)
    per_position = sum(2 * FLOAT_BYTES * channels for channels, _ in shapes.values())
    share = budget // num_domains
    if not shapes or share < 2 * (per_image + per_position):
        raise ValueError(
            f"a recording of {len(shapes)} layers does not fit {budget:,} bytes: raise budget, or "
            "choose fewer layers"
        )
    kept = min(images, share // (per_image + per_position))
    return kept, min(MAX_POSITIONS, (share // kept - per_image) // per_position)


def empty_activations(
    module: nn.Module, channels: int, length: int, images: int, positions: int
) -> Activations:
    """Allocate tensors for N images with P positions each."""
    mixture, assigned = mixture_of(module), None
    if mixture is not None:
        groups = min(channels, MAX_CHANNELS) if mixture.assign == "channel" else 1
        soft, hard = (torch.empty(images, groups, len(mixture.mean)) for _ in range(2))
        assigned = Assigned(soft, hard, torch.empty(images, groups))
    shape, pooled = (images, min(positions, length), channels), (images, channels)
    inputs, outputs = torch.empty(shape), torch.empty(shape)
    return Activations(inputs, outputs, torch.empty(pooled), torch.empty(pooled), assigned)


def count_bytes(activations: Activations) -> int:
    """Count the bytes of recorded activations."""
    tensors = [
        activations.inputs,
        activations.outputs,
        activations.pooled_inputs,
        activations.pooled_outputs,
        *(activations.assigned or ()),
    ]
    return sum(tensor.nbytes for tensor in tensors)
