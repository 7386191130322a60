"""torchinfo's summary of converted networks."""

import copy

import pytest
import torch
from idioms import IMAGES, KINDS, converted, idiom, with_ids

torchinfo = pytest.importorskip("torchinfo", reason="needs the package torchinfo")


@idiom("torchinfo's `summary`")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_summary_counts_all_parameters_and_changes_nothing(kind, device):
    model = converted(kind).eval()
    state = copy.deepcopy(model.state_dict())
    looked_at = with_ids(copy.deepcopy(model).to(device), torch.zeros(4, device=device).long())
    found = torchinfo.summary(looked_at, input_size=tuple(IMAGES.shape), device=device, verbose=0)
    assert found.total_params == sum(parameter.numel() for parameter in model.parameters())
    for key, value in looked_at.state_dict().items():
        assert value.is_meta or torch.equal(value, state[key])
