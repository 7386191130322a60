"""Running statistics are the same on all processes, for every kind of norm."""

import pytest
import torch
from launching import launch
from statistics_on_processes import KINDS, distributed


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return launch(distributed, 2, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("kind", KINDS)
def test_all_processes_have_the_statistics_of_the_first_or_the_mean(found, kind):
    (first, _, _), (second, _, _) = found[0][kind], found[1][kind]
    assert any(not first[name].equal(second[name]) for name in first)
    for _, average, given in (each[kind] for each in found):
        for name, value in first.items():
            assert given[name].equal(value)
            wanted = (value + second[name]) / 2 if value.is_floating_point() else value
            torch.testing.assert_close(average[name], wanted)
