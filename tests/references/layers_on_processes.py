"""Run every normaliser on several processes and on one, and compare outputs, gradients, state."""

import copy
from contextlib import contextmanager
from itertools import product
from math import inf
from unittest.mock import patch

import torch
import torch.distributed as dist

from dacbn.norms import norms
from dacbn.norms.mixture import jointly
from dacbn.processes import by_rows, current, sharing

CHANNELS = 6
CASES = [
    *norms,
    "batch_channel_norm(estimate=True, num_groups=2)",
    "ucb_norm(num_clusters=2, assign='sample')",
    "ucb_norm(num_clusters=2, assign='position')",
    "ucb_norm(num_clusters=2, update='learned')",
    "ucb_norm(num_clusters=2, update='hybrid', prior_scale=True)",
    "ucb_norm(num_clusters=2, update='hybrid', assign='sample')",
    "ucb_norm(assign='sample')",
    "ucb_norm(assign='position', prior_scale=True)",
    "ucb_norm(update='learned', assign='position')",
    "ucb_norm(num_clusters=2, affine=False, assign='position', update='hybrid')",
    "domain_specific_whitening(group_size=2)",
    "lp_batch_norm(p=2)",
    "lp_batch_norm(p=6)",
    "lp_batch_norm(p='inf')",
    "lp_batch_norm(top=3)",
    "batch_norm(affine=False)",
]
# images of the parts of a batch: even, uneven, one image on a process, none on a process
PARTS = [(4, 4), (5, 2), (1, 2), (1,)]
MAPS, FLAT = SHAPES = [(CHANNELS, 3, 4), (CHANNELS,)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
ALL = list(product(TOLERANCE, SHAPES, PARTS))
EACH_ONCE = [
    (torch.float64, MAPS, (5, 2)),
    (torch.float64, FLAT, (1,)),
    (torch.float32, MAPS, (1, 2)),
    (torch.float32, FLAT, (4, 4)),
]


def build(spec, dtype):
    torch.manual_seed(0)
    layer = norms.build(spec, CHANNELS).to(dtype).train()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def with_ids(layer):
    """Return a function of images and ids that runs the layer."""

    def forward(images, ids):
        context = getattr(layer, "context", None)
        if context is None:
            return layer(images)
        with context.bind(ids):
            return layer(images)

    return forward


def run(layer, x, ids, parts):
    """Take two steps; return outputs, the gradients of input and layer, and the state."""
    found = {}
    for step in range(2):
        images = (x + step).requires_grad_()
        layer.zero_grad()
        y = by_rows(with_ids(layer), images, ids, sizes=parts)
        # a loss that sees the whole batch, and weighs each value otherwise
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y).sin()
        ((weights * y).sum() + y.mean(0).square().sum()).backward()
        found[f"output {step}"] = y.detach()
        found[f"gradient of the input {step}"] = images.grad
        for name, parameter in layer.named_parameters():
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            found[f"gradient of {name} {step}"] = averaged(grad)
    return found | {name: value.clone() for name, value in layer.state_dict().items()}


def distances(found, wanted):
    """Return the largest difference of each result, relative to its largest value where that is."""
    far = {}
    for name, value in wanted.items():
        scale = value.double().abs().max().clamp_min(1) if value.numel() else 1
        far[name] = float((found[name].double() - value.double()).abs().max() / scale)
    return {name: inf if value != value else value for name, value in far.items()}


def averaged(gradient):
    return gradient if current() is None else summed(gradient) / current().count


def summed(values):
    if current() is None:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


@contextmanager
def without_joint_kernel():
    """Let torch's formulas, which processes use, compute: they round up to ten times as much."""
    with patch.object(jointly, "find_joint_kernel", lambda num_clusters: None):
        yield


def walk(rank, inputs):
    """Run all cases on these processes and on one, and return what differs, by case.

    Args:
        rank: of this process.
        inputs: type, shape of an image, and images of each process.
    """
    wrong = {}
    for spec in CASES:
        for dtype, shape, parts in inputs:
            torch.manual_seed(1)
            count = sum(parts)
            x = torch.randn(count, *shape, dtype=dtype) * 2 + 1
            ids = (torch.arange(count) >= parts[0]).long()
            layer = build(spec, dtype)
            alone, plain = copy.deepcopy(layer), copy.deepcopy(layer)
            exactly = copy.deepcopy(layer).double()
            case = f"{spec} {dtype} {shape} {parts}"
            try:
                found = run(layer, x, ids, parts)
                with sharing(None):
                    wanted = run(alone, x, ids, parts)
            except Exception as error:
                wrong[case] = repr(error)[:200]
                continue
            far = distances(found, wanted)
            if max(far.values()) > TOLERANCE[dtype] and dtype == torch.float32:
                with sharing(None):  # how far the same formulas are off on one process
                    exact = run(exactly, x.double(), ids, parts)
                    with without_joint_kernel():
                        own = distances(run(plain, x, ids, parts), exact)
                others = distances(found, exact)
                far = {name: others[name] - 2 * own[name] for name in far}
            name = max(far, key=far.get)
            if not far[name] <= TOLERANCE[dtype]:
                wrong[case] = f"{name}: {far[name]:.1e}"
    return wrong
