"""Labels in the form in which they were given: types, unknown ones, and those that are missing."""

import numpy as np
import pytest
import torch

from dacbn.datasets import kind_of_labels, label_values, labelled, to_labels

IMAGES = np.zeros((3, 8, 8), dtype=np.uint8)
GIVEN = [
    np.array([7, 3, 7], dtype=np.int8),
    np.array([7, 3, 7], dtype=">i4"),
    np.array([300, 12, 300], dtype=np.uint16),
    np.array([2**63 + 1, 0, 2**63 + 1], dtype=np.uint64),
    np.array(["b", "a", "b"]),
    np.array(["b", "aa", "b"], dtype=object),
    np.array([7, 3, 7], dtype=object),
    ["10", "9", "10"],
    [7, 3, 7],
    torch.tensor([7, 3, 7], dtype=torch.int32),
    np.array([[7], [3], [7]]),
]


@pytest.mark.parametrize("labels", GIVEN, ids=lambda each: f"{getattr(each, 'dtype', 'list')}")
def test_positions_turn_back_into_the_labels(labels):
    domain = labelled(IMAGES, labels)
    values = label_values(kind_of_labels((IMAGES, labels)), domain.classes)
    found, array = to_labels(domain.labels.numpy(), values, -9), np.asarray(labels).ravel()
    assert np.array_equal(found, array)
    number = array.dtype.kind in "iu" or isinstance(array[0], int)
    assert found.dtype == (
        np.int64 if array.dtype.kind == "O" and number else array.dtype.newbyteorder("=")
    )


def test_columns_of_tables_are_objects_or_whole_numbers():
    pd = pytest.importorskip("pandas", reason="needs pip install 'dacbn[pandas]'")
    for column, kind in (
        (pd.Series(["a", "b"]), "objects"),
        (pd.Series(["a", "b"], dtype="category"), "objects"),
        (pd.Series([1, 2], dtype="Int64"), "int64"),
        (pd.Series([1, 2], dtype="int16"), "int16"),
    ):
        assert kind_of_labels((IMAGES, column)) == kind


def test_other_sources_have_positions():
    for source in ("mnist", labelled(IMAGES, ["a", "b", "a"]), IMAGES, ["a", "b"]):
        assert kind_of_labels(source) == "positions"
    assert label_values("positions", ("ant", "bee", "cat")).tolist() == [0, 1, 2]


def test_unknown_and_missing_are_no_labels_of_a_class():
    positions = np.array([1, 2, -(2**63)])
    for values in (np.array([3, 5]), np.array([254, 255], np.uint8), np.array(["a", "b"])):
        known, unknown, missing = to_labels(positions, values, -(2**63))
        assert known == values[1] and not {unknown, missing} & set(values.tolist())
    assert to_labels(positions, np.array(["a", "b"], object), 0).tolist() == ["b", "unknown", ""]
    assert to_labels(positions, np.arange(2), -(2**63)).tolist() == positions.tolist()
