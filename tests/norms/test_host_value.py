"""A scalar buffer's value is known without asking its device, and never wrongly."""

import copy
import pickle

import pytest
import torch
from torch import Tensor

from dacbn.norms import UCBNorm, frozen_statistics
from dacbn.norms.host_value import HostValue
from dacbn.norms.mixture.state import RunningMixture


@pytest.fixture
def reads(monkeypatch):
    """Count how often a tensor's value is asked for."""
    asked = []
    plain = Tensor.__int__
    monkeypatch.setattr(Tensor, "__int__", lambda tensor: asked.append(1) or plain(tensor))
    return asked


def test_an_unchanged_buffer_is_asked_once(reads):
    buffer, known = torch.tensor(3), HostValue("count")
    assert [known.read(buffer) for _ in range(5)] == [3] * 5
    assert len(reads) == 1


def test_what_is_written_through_it_is_known(reads):
    buffer, known = torch.tensor(0), HostValue("count")
    known.fill_(buffer, 4)
    known.add_(buffer, 2)
    assert known.read(buffer) == 6 and reads == []
    assert buffer.item() == 6


@pytest.mark.parametrize(
    "write", [Tensor.add_, Tensor.fill_, lambda b, n: b.copy_(torch.tensor(n))]
)
def test_what_is_written_by_others_is_noticed(write):
    buffer, known = torch.tensor(0), HostValue("count")
    known.fill_(buffer, 4)
    write(buffer, 7)
    assert known.read(buffer) == buffer.item()
    write(buffer, 9)
    known.add_(buffer, 1)  # of a value that it has not seen
    assert known.read(buffer) == buffer.item()


def test_another_tensor_in_its_place_is_noticed():
    known = HostValue("count")
    assert known.read(torch.tensor(1)) == 1
    assert known.read(torch.tensor(2)) == 2


def test_copies_and_pickles_ask_their_own_buffers():
    buffer, known = torch.tensor(5), HostValue("count")
    known.read(buffer)
    for twin in (copy.deepcopy(known), pickle.loads(pickle.dumps(known))):
        assert twin.read(torch.tensor(8)) == 8
    assert known.read(buffer) == 5


def test_tensors_of_inference_mode_are_asked_each_time():
    with torch.inference_mode():
        buffer, known = torch.tensor(1), HostValue("count")
        assert known.read(buffer) == 1
        buffer.fill_(2)
        assert known.read(buffer) == 2


def test_a_tensor_without_values_has_the_last_one():
    known = HostValue("count")
    known.fill_(torch.tensor(0), 6)
    assert known.read(torch.empty((), device="meta")) == 6


def test_a_running_mixture_that_learns_asks_nothing(reads):
    mixture = RunningMixture(3, 2, 0.1, "channel")
    mixture.init_from_batch(torch.randn(8, 2, 4))
    reads.clear()
    for _ in range(3):
        mixture.update(torch.full((3, 2), 1 / 3), torch.zeros(3, 2), torch.ones(3, 2), 32)
        assert not mixture.uninitialised
    assert reads == [] and mixture.num_batches_tracked == 4


def test_frozen_statistics_ask_nothing_and_restore_what_was_known(reads):
    layer = UCBNorm(2)
    layer(torch.randn(8, 2, 4))
    mixture = layer.running
    reads.clear()
    with frozen_statistics(layer):
        assert not mixture.uninitialised
        mixture.reset_running_stats()
        assert mixture.uninitialised
    assert not mixture.uninitialised and reads == []


def test_what_is_loaded_is_known_to_compiled_code():
    trained, loaded = UCBNorm(2), UCBNorm(2)
    for _ in range(2):
        trained(torch.randn(8, 2, 4))
    loaded.load_state_dict(trained.state_dict())
    x = torch.randn(8, 2, 4) + 100
    torch.compiler.reset()
    compiled = torch.compile(loaded, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), trained(x))
    torch.testing.assert_close(loaded.running.mean, trained.running.mean)


def test_what_a_copy_has_is_known_to_compiled_code():
    trained = UCBNorm(2)
    trained(torch.randn(8, 2, 4))
    twin, x = copy.deepcopy(trained), torch.randn(8, 2, 4) + 100
    torch.compiler.reset()
    torch.compile(twin, fullgraph=True, backend="eager")(x), trained(x)
    torch.testing.assert_close(twin.running.mean, trained.running.mean)


def test_a_count_that_an_average_left_at_zero_is_known_to_compiled_code():
    trained, averaged = UCBNorm(2), UCBNorm(2)
    for _ in range(2):
        trained(torch.randn(8, 2, 4))
    state = trained.state_dict()
    averaged.load_state_dict(state | {"running.num_batches_tracked": torch.tensor(0)})
    x = torch.randn(8, 2, 4) + 100
    torch.compiler.reset()
    torch.compile(averaged, fullgraph=True, backend="eager")(x), trained(x)
    torch.testing.assert_close(averaged.running.mean, trained.running.mean)
