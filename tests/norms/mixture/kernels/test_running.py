"""The update of running mixtures in C agrees with that in torch."""

import copy

import pytest
import torch

from dacbn.norms.mixture.kernels import choose
from dacbn.norms.mixture.kernels.running import follow_batch
from dacbn.norms.mixture.state import RunningMixture

pytestmark = pytest.mark.skipif(
    isinstance(choose.find_kernels("cpu", 3), str), reason="no kernel on this machine"
)


@pytest.mark.parametrize("assign", ["channel", "position"])
@pytest.mark.parametrize("bad", [None, float("inf"), float("nan")])
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
def test_it_moves_what_torch_moves(assign, bad, momentum, monkeypatch):
    running = RunningMixture(3, 20, momentum, assign)
    running.set_components(torch.randn(3, 20), torch.rand(3, 20) + 0.5)
    table = torch.rand(3, 3, 20) + 0.1
    table[0] /= table[0].sum(0)
    if bad is not None:
        table[2, 1, 4] = bad
    share = table[0] if assign == "channel" else table[0, :, :1]  # a column of a table
    found, twin = (share, table[1], table[2]), copy.deepcopy(running).double()
    versions = [value._version for value in running.buffers()]
    running.update(*found, num_values=50)
    assert all(b._version > a for a, b in zip(versions, running.buffers(), strict=True))
    monkeypatch.setattr(choose, "find_kernels", lambda *_: "not wanted")
    twin.update(*(value.double() for value in found), num_values=50)
    for name, value in twin.named_buffers():
        torch.testing.assert_close(getattr(running, name).to(value), value, rtol=1e-6, atol=1e-6)


def test_it_leaves_other_tensors_to_torch():
    kept = torch.full((2, 1), 0.5), torch.zeros(2, 4), torch.ones(2, 4)
    found = torch.full((2, 1), 0.5), torch.ones(2, 4), torch.ones(2, 4)
    for place, other in ((0, kept[0].double()), (1, kept[1].T.contiguous().T), (2, kept[2][:1])):
        wrong = [*kept[:place], other, *kept[place + 1 :]]
        assert not follow_batch(tuple(wrong), found, 8, 0.1)
    assert follow_batch(kept, found, 8, 0.1)
    assert torch.equal(kept[1], torch.full((2, 4), 0.1))
