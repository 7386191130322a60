"""What the tests of adaptation methods share."""

import pytest
import torch
from colour_shift import draw_images, trained_network


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def network(generator):
    """A trained network, which knows the source."""
    return trained_network(generator, steps=25)


@pytest.fixture
def images(generator):
    """A batch of the target."""
    return draw_images(64, True, generator)[0]
