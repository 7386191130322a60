"""Training steps of a running mixture per channel, in one compiled call and one node of autograd.

On short activations the tables' operations, and arguments without gradients, would take longer
than the activations themselves.
"""

from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import GATE_VAR, LOG_PRIOR, Affine, Options, Saved
from dacbn.norms.mixture.kernels.choose import Kernels, kernels_for
from dacbn.norms.mixture.operators import gradients_by_formulas
from dacbn.norms.mixture.routes import (
    dense,
    is_exported,
    needs_formulas,
    passes_on,
)
from dacbn.norms.mixture.state import RunningMixture
from dacbn.norms.recomputation import is_recomputation
from dacbn.processes import is_shared
from dacbn.processes.share import running as batch_of

Tables = tuple[Tensor, ...]  # shares, means and variances


def channel_step(running: RunningMixture, x: Tensor, affine: Affine, eps: float) -> Tensor | None:
    """Normalise x by the moments of its batch, and move the running mixture towards them.

    In a recomputation nothing moves.

    Args:
        running: the mixture that assigns, which a first batch has initialised.
        x: (N, C, *), with more than one value per channel.
        affine: the map that follows.
        eps: added to the variances.

    Returns:
        the output; None if there is no compiled code for such a step, and nothing has been done.
    """
    if not x.is_cpu or needs_formulas(x) or is_exported() or is_shared():
        return None
    tables = running.prior, running.mean, running.var
    for table in (*tables, *affine):
        if table is not None and not (table.dtype is torch.float32 and table.is_contiguous()):
            return None
    # what the other way refuses, it refuses before anything has moved
    shape = (running.num_clusters, x.shape[1])
    if any(table.requires_grad or table.shape != shape for table in tables):
        return None
    if not torch.is_inference_mode_enabled() and any(t.is_inference() for t in (x, *tables)):
        return None
    kernels = kernels_for(x, running.num_clusters)
    if kernels.step is None:
        return None
    again = is_recomputation()
    read, momentum = running.past.read(x, *tables), None if again else running.momentum
    y: Tensor = _Step.apply(dense(x), *affine, read, eps, momentum, kernels)
    if not again:
        for moved in read:
            if not moved.is_inference():  # which counts no changes
                torch.autograd.graph.increment_version(moved)
        running.count_batch()
    return y


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        read: Tables,
        eps: float,
        momentum: float | None,
        kernels: Kernels,
    ) -> Tensor:
        assert kernels.step is not None
        y, table = kernels.step(x, read, Affine(weight, bias), eps, momentum)
        ctx.save_for_backward(x, table, weight)
        ctx.kernels, ctx.options = kernels, Options(eps, from_batch=True)
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        nothing = (None,) * 4
        if gradient is None:
            return None, None, None, *nothing
        x, table, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if passes_on(gradient):
            log_prior = table[LOG_PRIOR] + 0.5 * table[GATE_VAR].log()  # as C keeps it
            saved = (x, table, None, weight, log_prior, *nothing)
            each_needed = (needed[0], *[False] * 6, *needed[1:])
            with batch_of(None):
                found = gradients_by_formulas(each_needed, saved, ctx.options, gradient)
            return found[0], *found[7:9], *nothing
        dx, _, *of_affine = ctx.kernels.backward(
            gradient, Saved(x, table, None, weight), ctx.options, False
        )
        found = (dx, *of_affine)
        return *(each if need else None for each, need in zip(found, needed, strict=True)), *nothing
