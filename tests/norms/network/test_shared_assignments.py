"""Assignments that the layers of a network share during one forward pass."""

import copy

import pytest
import torch
from torch import nn

from dacbn.norms import UCBNorm
from dacbn.norms.network.shared_assignments import SharedAssignments, share_assignments


def test_they_are_kept_from_the_opening_to_the_closing_of_a_pass_only():
    shared, found = SharedAssignments(), torch.rand(4, 2)
    assert shared.keep(found) is found and shared.found is None
    shared.open()
    shared.keep(found)
    assert shared.read(4) is found
    shared.open()
    with pytest.raises(RuntimeError, match="it has not run: call the model"):
        shared.read(4)
    shared.keep(found)
    shared.close()
    assert shared.found is None


def test_another_number_of_samples_is_refused_with_the_cure():
    shared = SharedAssignments()
    shared.open()
    shared.keep(torch.rand(4, 2))
    with pytest.raises(ValueError, match=r"4 images.*gets 8 samples: leave it out by `sites`"):
        shared.read(8)


class Turned(nn.Module):
    """Layers registered in the order that they do not run in."""

    def __init__(self):
        super().__init__()
        self.late, self.early = UCBNorm(3), UCBNorm(3)

    def forward(self, x):
        """Run both."""
        return self.late(self.early(x))


class Deciding(Turned):
    """The same in a network that cannot be traced."""

    def forward(self, x):
        """Run both, or nothing."""
        return super().forward(x) if x.sum() < 1e9 else x


@pytest.mark.parametrize(("kind", "first"), [(Turned, "early"), (Deciding, "late")])
def test_the_first_runs_first_or_is_registered_first(kind, first):
    model = kind()
    layers = {"late": model.late, "early": model.early}
    assert share_assignments(model, layers) == first
    assert model.late.shared is model.early.shared
    twin = copy.deepcopy(model)
    assert twin.late.shared is twin.early.shared is not model.late.shared
