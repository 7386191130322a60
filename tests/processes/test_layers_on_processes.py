"""Every normaliser on two processes equals one on the whole batch: outputs, gradients, state."""

import pytest
from launching import launch
from layers_on_processes import ALL, EACH_ONCE, walk


@pytest.mark.parametrize("inputs", [EACH_ONCE, pytest.param(ALL, marks=pytest.mark.slow)])
def test_every_norm_on_two_processes_equals_one(inputs, tmp_path):
    assert launch(walk, 2, tmp_path, inputs) == [{}, {}]
