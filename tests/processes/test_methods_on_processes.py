"""Every method on two processes equals one: losses and weights after some steps."""

import pytest
import torch
from launching import launch
from methods_on_processes import walk_methods

SHORT = (3, (torch.float64,))
LONG = (10, (torch.float64, torch.float32))


@pytest.mark.parametrize("length", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_every_method_on_two_processes_equals_one(length, tmp_path):
    assert launch(walk_methods, 2, tmp_path, *length) == [{}, {}]
