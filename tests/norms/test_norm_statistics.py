"""What holds for the statistics of every registered normaliser, and for its compiled form."""

import copy
import sys
from inspect import signature

import pytest
import torch
from norm_cases import BREAK_THE_GRAPH, LEARNED_START, run, trained

from dacbn.norms import frozen_statistics, norms, recalibrate, reset_statistics, share_context

pytestmark = pytest.mark.parametrize("name", list(norms))


def statistics_of(layer):
    return {name: value.clone() for name, value in layer.named_buffers()}


def test_frozen_statistics_change_nothing_but_the_output(name):
    layer = trained(name)
    before, x = statistics_of(layer), torch.randn(8, 4) * 3 + 2
    expected = run(copy.deepcopy(layer), x)
    with frozen_statistics(layer):
        y = run(layer, x)
    y.sum().backward()
    assert torch.equal(y, expected)
    assert all(torch.equal(value, before[key]) for key, value in layer.named_buffers())


def test_a_layer_whose_statistics_are_reset_starts_anew(name):
    if name in LEARNED_START:
        pytest.skip("has learned, not estimated")
    layer, fresh = trained(name), norms[name](4)
    reset_statistics(layer)
    assert all(
        torch.equal(value, dict(fresh.named_buffers())[key]) for key, value in layer.named_buffers()
    )


def test_recalibration_keeps_what_is_learned_and_the_mode(name):
    layer = trained(name).eval()
    before = {key: value.clone() for key, value in layer.named_parameters()}
    with share_context(layer).bind(torch.ones(8, dtype=torch.int64)):
        recalibrate(layer, torch.randn(64, 4) * 2 + 7, batch_size=8)
    assert not layer.training
    assert all(torch.equal(value, before[key]) for key, value in layer.named_parameters())
    assert all(value.isfinite().all() for value in layer.buffers())


@pytest.mark.parametrize("momentum", [-0.1, 1.1, "a"])
def test_a_momentum_that_is_no_fraction_raises(name, momentum):
    if "momentum" not in signature(norms[name]).parameters:
        pytest.skip("has no momentum")
    with pytest.raises(
        ValueError, match=rf"momentum of {name} must be (in \[0, 1\]|a number), got"
    ):
        norms[name](4, momentum=momentum)


def test_its_module_names_the_paper(name):
    assert "Paper:" in sys.modules[norms[name].__module__].__doc__


@pytest.mark.parametrize("training", [True, False])
def test_it_compiles_into_one_graph(name, training):
    if name in BREAK_THE_GRAPH:
        pytest.skip("decides by values")
    layer = trained(name).train(training)
    twin, x, ids = copy.deepcopy(layer), torch.randn(8, 4, 5), torch.arange(8) % 2
    torch.compiler.reset()
    context = share_context(layer)

    def call(x, ids):
        with context.bind(ids):
            return layer(x)

    y = torch.compile(call, fullgraph=True, backend="eager")(x, ids)
    torch.testing.assert_close(y, run(twin, x))
