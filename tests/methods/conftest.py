"""What the tests of adaptation methods share."""

import sys
from pathlib import Path

import pytest
import torch

# The references are plain files beside the rooms, not a package.
sys.path.insert(0, str(Path(__file__).parents[1] / "references"))


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)
