"""What the tests of adaptation methods share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)
