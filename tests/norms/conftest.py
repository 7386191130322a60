"""What the tests of normalisers share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)
