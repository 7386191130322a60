"""Each of these methods sees through a turn of the clusters that costs the source-only network."""

import pytest
from planted_rotation import accuracy_after


@pytest.fixture(scope="module")
def source_only():
    return accuracy_after("source_only", steps=80)


@pytest.mark.parametrize(
    "method",
    [
        "adamatch",
        "bnm",
        "fixmatch",
        "information_maximisation",
        "mcc",
        "minimum_entropy",
        "vada(target_weight=0.1)",
    ],
)
def test_the_method_beats_training_on_the_source_alone(method, source_only):
    assert source_only < 0.95
    assert accuracy_after(method, steps=80) > 0.98
