"""Garbage is collected rarely while a report is made, and as before afterwards."""

import gc

import pytest

from dacbn.analysis.rare_collection import NEW_OBJECTS, collected_rarely


@pytest.fixture(autouse=True)
def _restored():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("first", "meanwhile"), [(700, NEW_OBJECTS), (2 * NEW_OBJECTS, 2 * NEW_OBJECTS), (0, 0)]
)
def test_the_threshold_is_raised_unless_it_is_higher_or_nothing_is_collected(first, meanwhile):
    gc.set_threshold(first, 11, 12)
    with pytest.raises(ValueError, match="ends"), collected_rarely():
        assert gc.get_threshold()[:2] == (meanwhile, 11)
        raise ValueError("ends")
    assert gc.get_threshold()[:2] == (first, 11)
