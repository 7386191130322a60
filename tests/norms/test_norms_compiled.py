"""torch.compile changes no output, gradient or statistic of a normaliser in training.

A compiled backward pass may derive values anew from buffers that have moved meanwhile.
"""

import copy

import pytest
import torch
from norm_cases import ids_of, run

from dacbn.norms import norms, share_context

EACH_ONCE = [("channel", "learned"), ("position", "hybrid"), ("sample", "em")]
# What keeps no running state has nothing that could move before the backward pass.
STATELESS = [name for name in norms if not any(True for _ in norms[name](4).buffers())]
# With all their options that change what a batch reads of the running state.
CASES = [
    *(
        pytest.param(name, {}, marks=[pytest.mark.slow] if name in STATELESS else [])
        for name in norms
    ),
    ("batch_channel_norm", {"estimate": True}),
    ("random_gate_norm", {"assign": "position"}),
    *(
        pytest.param(
            "ucb_norm",
            {"assign": assign, "update": update, "prior_scale": True},
            marks=[] if (assign, update) in EACH_ONCE else [pytest.mark.slow],
        )
        for assign in ("channel", "position", "sample")
        for update in ("em", "learned", "hybrid")
    ),
]


def as_function(layer):
    """Return a layer as a function of x and ids, which torch.compile traces as one graph."""
    context = share_context(layer)

    def call(x, ids):
        with context.bind(ids):
            return layer(x)

    return call


def train_two_steps(layer, call):
    """Return the outputs, gradients and state of two steps, of two batches each."""
    found = {}
    for step in range(2):
        batches = [batch(shift + step).requires_grad_() for shift in (0, 2)]
        outputs = [call(x, ids_of(x)) for x in batches]
        layer.zero_grad()
        sum(y.pow(3).sum() for y in outputs).backward()
        for number, (x, y) in enumerate(zip(batches, outputs, strict=True)):
            found |= {f"y {step} {number}": y.detach(), f"d x {step} {number}": x.grad}
        found |= {f"d {name} {step}": p.grad for name, p in layer.named_parameters()}
    return found | layer.state_dict()


def batch(shift):
    generator = torch.Generator().manual_seed(shift)
    return torch.randn(8, 4, 5, dtype=torch.float64, generator=generator) + shift


def check(layer, backend):
    twin = copy.deepcopy(layer)
    torch.compiler.reset()
    compiled = torch.compile(as_function(layer), fullgraph=True, backend=backend)
    found = train_two_steps(layer, compiled)
    for name, wanted in train_two_steps(twin, as_function(twin)).items():
        torch.testing.assert_close(
            found[name], wanted, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(("name", "options"), CASES)
def test_compiled_training_is_that_of_the_layer(name, options):
    layer = norms[name](4, **options).double()
    for shift in (5, 6):
        run(layer, batch(shift))
    check(layer, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager_default_partitioner", "inductor"])
@pytest.mark.parametrize("batches", [0, 2])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_compiled_training_is_that_of_the_layer_however_compiled(name, options, batches, backend):
    layer = norms[name](4, **options).double()
    for shift in range(5, 5 + batches):
        run(layer, batch(shift))
    check(layer, backend)
