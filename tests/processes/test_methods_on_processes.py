"""Every method on two processes equals one: losses and weights after ten steps."""

import pytest
from launching import launch
from methods_on_processes import walk_methods


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return launch(walk_methods, 2, tmp_path_factory.mktemp("two"))


def test_every_method_on_two_processes_equals_one(found):
    assert found[0] == {}
    assert found[1] == {}
