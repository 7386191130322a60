"""accelerate's `prepare` on converted networks."""

import pytest
import torch
from idioms import IMAGES, KINDS, buffers_of, converted, idiom, moved

accelerate = pytest.importorskip("accelerate", reason="needs the package accelerate")


@idiom("accelerate's `prepare`")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_prepared_network_trains_and_comes_back(kind, tmp_path):
    model = converted(kind)
    before, helper = buffers_of(model), accelerate.Accelerator(cpu=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    prepared, optimizer = helper.prepare(model, optimizer)
    helper.backward(prepared(IMAGES).square().mean())
    optimizer.step()
    assert helper.unwrap_model(prepared) is model
    assert bool(moved(model, before)) is (kind not in ("group_norm", "scb_norm"))
    helper.save_state(tmp_path)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    prepared(IMAGES + 3)
    helper.load_state(tmp_path)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
