"""Networks trained on several processes equal those trained on one: weights and statistics."""

import pytest
from launching import launch
from networks_on_processes import CASES, train_all


@pytest.mark.slow
@pytest.mark.parametrize(("count", "cases"), [(2, CASES), (4, CASES[:3])])
def test_weights_after_three_steps_are_those_of_one_process(count, cases, tmp_path):
    for far in launch(train_all, count, tmp_path, cases):
        assert {case: value for case, value in far.items() if not value < 1e-9} == {}
