"""Every normaliser on two processes equals one on the whole batch: outputs, gradients, state."""

import pytest
from launching import launch
from layers_on_processes import walk


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return launch(walk, 2, tmp_path_factory.mktemp("two"))


def test_every_norm_on_two_processes_equals_one(found):
    assert found[0] == {}
    assert found[1] == {}
