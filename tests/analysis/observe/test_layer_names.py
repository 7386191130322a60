"""Names of layers are shortened and chosen for figures."""

import pytest

from dacbn.analysis.observe.layer_names import evenly_spaced, short_names


def test_names_lose_what_all_share():
    assert short_names(["a.b.bn1", "a.b.c.bn2"]) == ["b.bn1", "b.c.bn2"]
    assert short_names(["a.b.c.bn1", "a.d.c.bn1"]) == ["b.c.bn1", "d.c.bn1"]
    assert short_names(["backbone.layers.2"]) == ["layers.2"]
    assert short_names(["norm"]) == ["norm"]


@pytest.mark.parametrize(
    ("at_most", "expected"), [(1, "a"), (2, "af"), (3, "acf"), (6, "abcdef"), (9, "abcdef")]
)
def test_chosen_names_include_the_first_and_the_last(at_most, expected):
    assert evenly_spaced("abcdef", at_most) == list(expected)
