"""What the tests of networks share."""

import pytest
import torch

# The tensors are small, and threads that wait for one another cost more than they bring.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)
