"""--compile changes how fast a network trains, and nothing that is kept."""

import copy
from functools import partial

import pytest
import torch

from dacbn.norms import norms
from dacbn.training import InterruptedTraining, Records
from dacbn.training.compiled import compile_forward, use_forward

COMPILE = torch.compile


@pytest.fixture
def graphs(monkeypatch):
    """Compile by tracing alone, which is quick and exact, and collect the graphs."""
    found = []

    def backend(graph, _):
        found.append(graph)
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(COMPILE, backend=backend))
    yield found
    torch.compiler.reset()


def test_training_is_the_same_and_so_is_what_it_leaves(
    tiny, source, target, weights, untimed, graphs, monkeypatch
):
    # compiled graphs follow a batch by torch's operations, which round otherwise than C
    monkeypatch.setattr("dacbn.norms.mixture.state.follow_batch", lambda *_: False)
    monkeypatch.setattr("dacbn.norms.ucb_norm.channel_step", lambda *_: None)
    options = {"norm": "ucb_norm", "ema_decay": 0.5}
    plain = tiny(**options).fit(source, target, source_test=source)
    assert not graphs
    adapter = tiny(compile=True, **options).fit(source, target, source_test=source)
    assert graphs
    assert weights(adapter) == weights(plain)
    assert untimed(adapter.records)[-1] == untimed(plain.records)[-1]
    assert "forward" not in vars(adapter.network)
    copy.deepcopy(adapter.network)


def test_nothing_but_training_is_compiled(tiny, source, target, graphs):
    adapter = tiny(compile=True, steps=3, norm=None, eval_every=1)
    adapter.fit(source, target, source_test=source)
    adapter.predict(target[0][:4])
    assert len(graphs) == 1


def test_a_resumed_training_equals_one_that_never_stopped(
    tiny, source, target, weights, untimed, tmp_path, monkeypatch, graphs
):
    whole = tiny(compile=True).fit(source, target)
    add = Records.add

    def stop(self, step, numbers):
        add(self, step, numbers)
        if step == 3:
            raise InterruptedTraining

    with monkeypatch.context() as patch, pytest.raises(InterruptedTraining):
        patch.setattr(Records, "add", stop)
        tiny(compile=True).fit(source, target, run=tmp_path)
    resumed = tiny(compile=True).fit(source, target, run=tmp_path, resume=True)
    assert weights(resumed) == weights(whole)
    assert untimed(resumed.records) == untimed(whole.records)
    with_other = tiny(compile=False).fit(source, target, run=tmp_path, resume=True)
    assert weights(with_other) == weights(whole)


def test_a_compiler_that_fails_is_told_in_one_line(tiny, source, target, monkeypatch):
    def fail(graph, _):
        raise RuntimeError("no C++ compiler\nanywhere")

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(COMPILE, backend=fail))
    with pytest.raises(ValueError, match=r"no C\+\+ compiler.*train without compile=True"):
        tiny(compile=True).fit(source, target)


def test_an_error_of_the_network_stays_its_own(graphs):
    class Broken(torch.nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    network = Broken()
    with pytest.raises(KeyError, match="mine"), use_forward(network, compile_forward(network)):
        network(torch.zeros(2))
    assert "forward" not in vars(network)


def assert_close(adapter, other):
    """Compare weights, which a few steps move by thousandths, to more than rounding."""
    state = other.network.state_dict()
    for name, value in adapter.network.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-2, atol=2e-3, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("norm", [None, *norms])
def test_every_normaliser_trains_compiled(tiny, source, target, norm, graphs):
    plain, compiled = (tiny(norm=norm, compile=c).fit(source, target) for c in (False, True))
    assert graphs
    assert_close(compiled, plain)


@pytest.mark.slow
def test_torchs_own_compiler_agrees_to_rounding(tiny, source, target):
    plain, compiled = (tiny(norm="ucb_norm", compile=c).fit(source, target) for c in (False, True))
    assert_close(compiled, plain)
