"""Normalise by a Gaussian mixture, by the fastest implementation for its assignment and device.

Mixtures per channel are one operator (`operators`), compiled code where there is some for the
device; mixtures of samples need each sample's moments only (`by_sample`, with gradients by hand in
`sample_lines`); mixtures of positions and of samples of one position assign all channels at once
(`jointly`). All agree with the formulas in `moments` to rounding, none keeps a tensor K times as
large as the activations, unless second derivatives are asked for.
"""

from math import prod

import torch
from torch import Tensor

from dacbn.norms.mixture import operations as operations  # registers what counters ask
from dacbn.norms.mixture.arguments import SHARE, VAR, Affine, Components, Gate, Options, in_type
from dacbn.norms.mixture.by_sample import (
    line_of_samples,
    moments_and_line,
    pool_samples,
    sample_log_joint,
)
from dacbn.norms.mixture.jointly import joint_kernel_for, normalise_jointly
from dacbn.norms.mixture.kernels.joint import JointOptions
from dacbn.norms.mixture.kernels.lines import line_kernel_for
from dacbn.norms.mixture.moments import Assign
from dacbn.norms.mixture.operators import normalise_channels
from dacbn.norms.mixture.routes import HALF, has_no_memory
from dacbn.norms.mixture.sample_lines import has_constants, lines_by_moments


def normalise_by_mixture(
    x: Tensor,
    gate: Gate,
    components: Components,
    affine: Affine,
    options: Options,
    assign: Assign = "channel",
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardise x by every component, average by responsibility, then scale and shift.

    Args:
        x: (N, C, *); half precision is computed in float32.
        gate: the mixture that assigns.
        components: the moments that standardise.
        affine: the map that follows.
        options: eps, and whether the batch's moments standardise.
        assign: what is assigned to components, see `moments.log_joint`.
        weights: responsibilities of the samples (K, N), where they are known and the gate assigns
            nothing; for assign="sample".

    Returns:
        the output, like x, and, without gradients, each component's share of x, mean and biased
        variance, (K, C) each; the share is (K, 1) where channels share an assignment. With
        `from_batch` these are the batch's; without, they are meaningless.
    """
    if x.dtype in HALF and not reads_in_place(x, assign):
        records = (gate, components, affine, options)
        y, share, mean, var = normalise_by_mixture(x.float(), *records, assign, weights)
        return y.to(x.dtype), share, mean, var
    if assign != "channel":
        wide = torch.promote_types(x.dtype, torch.float32)
        gate = Gate(*in_type(wide, *gate))
        components = Components(*in_type(wide, *components))
        affine = Affine(*in_type(wide, *affine))
    if assign == "sample":
        fused = joint_kernel_for(x, len(components.mean)) is not None
        if not fused or prod(x.shape[2:]) > 1:
            return _by_samples(x, gate, components, affine, options, weights)
    if assign != "channel":
        how = JointOptions(options.eps, options.from_batch)
        return normalise_jointly(x, gate, components, affine, how, weights)
    y, table = normalise_channels(x, gate, components, affine, options)
    share, mean, var = table[SHARE : VAR + 1].unbind()
    return y, share, mean, var


def reads_in_place(x: Tensor, assign: Assign) -> bool:
    """Whether x (N, C, *) of this layout and type is read and written as it is."""
    if assign == "channel":
        return x.is_cuda or x.dtype is not torch.float16
    return assign == "sample" and line_kernel_for(x) is not None


def _by_samples(
    x: Tensor,
    gate: Gate,
    components: Components,
    affine: Affine,
    options: Options,
    weights: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    of_mean, of_var, draw = moments_and_line(x)
    moments = of_mean, of_var
    by_hand = options.from_batch and has_constants(gate, components, of_mean)
    if weights is None and by_hand and not has_no_memory(x):
        length = prod(x.shape[2:])
        found = lines_by_moments(*moments, length, gate, components, affine, options.eps)
        return draw(*found[:2]), *found[2:]
    if weights is None:
        weights = sample_log_joint(*moments, gate).softmax(0)
    share = weights
    mean, var, scale = components
    if options.from_batch:
        share, mean, var = pool_samples(*moments, prod(x.shape[2:]), weights, mean, var)
    y = draw(*line_of_samples(weights, Components(mean, var + options.eps, scale), affine))
    return y, share.detach(), mean.detach(), var.detach()
