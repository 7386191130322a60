"""Training steps of a running mixture that assigns all channels at once, in one compiled call."""

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import Affine, Components, Gate, LinearGate
from dacbn.norms.mixture.jointly import joint_kernel_for, normalise_in_c
from dacbn.norms.mixture.kernels.joint import Followed, JointOptions, Kernel
from dacbn.norms.mixture.state import RunningMixture
from dacbn.norms.recomputation import is_recomputation

Tables = tuple[Tensor, Tensor, Tensor]  # shares, means and variances


def kernel_that_follows(running: RunningMixture, x: Tensor) -> Kernel | None:
    """Return compiled code for a training step on x (N, C, *); None if torch has to make it."""
    if running.mean.dtype is not x.dtype:
        return None
    return joint_kernel_for(x, running.num_clusters)


def follow(
    kernel: Kernel,
    running: RunningMixture,
    read: Tables,
    x: Tensor,
    gate: Gate | LinearGate | None,
    affine: Affine,
    options: JointOptions,
    scale: Tensor | None = None,
    given: Tensor | None = None,
) -> Tensor:
    """Normalise x by the moments of its batch, and move the running mixture towards them.

    In a recomputation nothing moves.

    Args:
        kernel: of `kernel_that_follows`.
        running: the mixture, which a first batch has initialised.
        read: what `running.read_by(x)` has returned.
        x: (N, C, *), with more than one position.
        gate: the mixture that assigns; None is the running one, unless `given`.
        affine: the map that follows.
        options: see there.
        scale: factor of each component's term, (K, 1).
        given: responsibilities (K, N L) instead of a gate's.
    """
    prior, mean, var = read
    if gate is None and given is None:
        gate, options = Gate(prior, mean, var), options._replace(gate_eps=options.eps)
    components = Components(mean, var, scale)
    if is_recomputation():
        y, *_ = normalise_in_c(kernel, x, gate, components, affine, options, None, given)
        return y
    followed = Followed(prior, running.momentum)
    y, _ = normalise_in_c(kernel, x, gate, components, affine, options, followed, given)
    for moved in read:
        if not moved.is_inference():  # which counts no changes
            torch.autograd.graph.increment_version(moved)
    running.count_batch()
    return y
