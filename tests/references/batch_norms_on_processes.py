"""What batch normalisers do on several processes, each beside one process that has all rows."""

import copy
from functools import partial

import torch
import torch.distributed as dist
from layers_on_processes import averaged, build, distances, with_ids
from timm.layers import BatchNormAct2d
from torch import nn
from torch.utils.checkpoint import checkpoint

from dacbn.norms import BatchNorm, frozen_statistics, shared_batch_norms
from dacbn.processes import by_rows, sharing

CHANNELS = 6
TORCHS = {
    "one dimension": lambda: nn.BatchNorm1d(CHANNELS),
    "two dimensions": lambda: nn.BatchNorm2d(CHANNELS),
    "three dimensions": lambda: nn.BatchNorm3d(CHANNELS, affine=False),
    "the mean of all batches": lambda: nn.BatchNorm2d(CHANNELS, momentum=None),
    "no running statistics": lambda: nn.BatchNorm2d(CHANNELS, track_running_stats=False),
    "an activation": lambda: BatchNormAct2d(CHANNELS, act_layer=nn.SiLU),
}
POSITIONS = {"one dimension": (), "three dimensions": (2, 3, 2)}
# What needs one exchange forward and one backward. `lp_batch_norm` needs two of each; `auto_dial` a
# second one backward, by which all agree whether alpha would leave its range.
ONE_EXCHANGE = [
    "batch_channel_norm",
    "batch_instance_norm",
    "batch_norm",
    "context_batch_norm",
    "domain_specific_batch_norm",
    "domain_specific_whitening",
    "ibn_norm",
    "kalman_norm",
    "matched_batch_norm",
    "mean_only_batch_norm",
    "prediction_time_batch_norm",
    "switchable_norm",
    "trans_norm",
]
RECOMPUTED = [
    "batch_norm",
    "context_batch_norm",
    "kalman_norm",
    "lp_batch_norm",
    "switchable_norm",
    "batch_channel_norm(estimate=True, num_groups=2)",
]


def compare(work, *arguments):
    """Do work on these processes and on one; return the largest relative difference."""
    found = work(*arguments)
    with sharing(None):
        wanted = work(*arguments)
    assert found.keys() == wanted.keys()
    return max(distances(found, wanted).values())


def drawn(*shape, dtype=torch.float64):
    torch.manual_seed(1)
    return (torch.randn(*shape) * 2 + 1).to(dtype)


def step(layer, x, run=None):
    """Return output, gradients and state after a step."""
    x, ids = x.requires_grad_(), (torch.arange(len(x)) >= 4).long()
    y = by_rows(run or with_ids(layer), x, ids)
    (y.double() * drawn(*y.shape)).sum().backward()
    found = {"output": y.detach(), "input": x.grad}
    for name, parameter in layer.named_parameters():
        found[name] = averaged(parameter.grad)
    return found | {name: value.clone().double() for name, value in layer.state_dict().items()}


def second_derivatives(count, affine):
    """Return derivatives of the gradient that a layer passes on."""
    layer = BatchNorm(CHANNELS, affine=affine).double()
    x, weights = drawn(count, CHANNELS, 5), drawn(count, CHANNELS, 5)

    def gradient(images, weights):
        y = layer(images)
        (found,) = torch.autograd.grad((y * weights).sin().sum(), images, create_graph=True)
        return found

    x, weights = x.requires_grad_(), weights.requires_grad_()
    by_rows(gradient, x, weights).square().sum().backward()
    return {"input": x.grad, "weights": weights.grad} | {
        name: averaged(parameter.grad)
        for name, parameter in layer.named_parameters()
        if name == "weight"
    }


def torchs(kind):
    torch.manual_seed(0)
    layer = TORCHS[kind]().double()
    x = drawn(7, CHANNELS, *POSITIONS.get(kind, (3, 4)))
    with shared_batch_norms(layer):
        step(layer, x.clone())
        found = step(layer, x * 2)
        layer.eval()
        with torch.no_grad():
            return found | {"evaluated": by_rows(layer, x)}


def recomputed(spec, reentrant):
    layer = build(spec, torch.float64)
    run = partial(checkpoint, with_ids(layer), use_reentrant=reentrant)
    return step(layer, drawn(7, CHANNELS, 3, 4), run)


def frozen(spec):
    layer = build(spec, torch.float64)
    with frozen_statistics(layer):
        return step(layer, drawn(7, CHANNELS, 3, 4))


def in_evaluation():
    layer = build("prediction_time_batch_norm", torch.float64).eval()
    return step(layer, drawn(7, CHANNELS, 3, 4))


def half(dtype, table_dtype):
    layer = build("batch_norm", torch.float32).to(table_dtype)
    return step(layer, drawn(8, CHANNELS, 16, dtype=dtype))


def refusal():
    layer = nn.BatchNorm1d(CHANNELS)
    with shared_batch_norms(layer):
        try:
            by_rows(layer, torch.randn(1, CHANNELS))
        except ValueError as error:
            return str(error)


def alike_afterwards():
    """Return whether a network of torch's layers is the same in a shared training, and after."""
    network = nn.Sequential(nn.Linear(3, CHANNELS), nn.BatchNorm1d(CHANNELS), nn.ReLU())
    before = list(network.state_dict()), repr(network)
    with shared_batch_norms(network):
        inside = list(network.state_dict()), repr(network)
        by_rows(network, torch.randn(5, 3)).sum().backward()
        copied = copy.deepcopy(network)
    after = list(network.state_dict()), repr(network)
    alike = torch.equal(copied.eval()(torch.ones(2, 3)), network.eval()(torch.ones(2, 3)))
    return before == inside == after and alike and type(network[1]) is nn.BatchNorm1d


def exchanges(spec):
    """Count the exchanges of a layer's forward and backward pass."""
    layer = build(spec, torch.float64)
    step(layer, drawn(7, CHANNELS, 3, 4))  # a first batch may place components
    x, ids = drawn(7, CHANNELS, 3, 4).requires_grad_(), (torch.arange(7) >= 4).long()
    calls, known = [0], dist.all_reduce

    def count(*arguments, **options):
        calls[0] += 1
        return known(*arguments, **options)

    dist.all_reduce = count
    try:
        y = by_rows(with_ids(layer), x, ids)
        forward = calls[0]
        (y * drawn(*y.shape)).sum().backward()
        return forward, calls[0] - forward
    finally:
        dist.all_reduce = known


def look(rank):
    """Do all of it, and return what was found."""
    far = {f"torch's layer with {kind}": compare(torchs, kind) for kind in TORCHS}
    for spec in RECOMPUTED:
        for reentrant in (True, False):
            far[f"{spec} recomputed, reentrant={reentrant}"] = compare(recomputed, spec, reentrant)
    for spec in ("batch_norm", "context_batch_norm", "mean_only_batch_norm"):
        far[f"{spec} with frozen statistics"] = compare(frozen, spec)
    far["evaluation by the batch"] = compare(in_evaluation)
    for count in (1, 2, 7):
        for affine in (True, False):
            far[f"second derivatives, {count} samples, affine={affine}"] = compare(
                second_derivatives, count, affine
            )
    rough = {
        (name(dtype), name(tables)): compare(half, dtype, tables)
        for dtype in (torch.bfloat16, torch.float16)
        for tables in (dtype, torch.float32)
    }
    counts = {spec: exchanges(spec) for spec in ONE_EXCHANGE}
    return far, rough, refusal(), alike_afterwards(), counts


def name(dtype):
    return str(dtype).removeprefix("torch.")
