"""What labels are taken, and what is no class."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from dacbn.datasets.labels import number_labels

NAN = float("nan")

# labels, classes given, positions, names
TAKEN = {
    "from 1": ([1, 2, 3], None, [0, 1, 2], ("1", "2", "3")),
    "gaps": ([42, 7, 42], None, [1, 0, 1], ("7", "42")),
    "far apart": ([0, 10**9], None, [0, 1], ("0", "1000000000")),
    "numbers in order": ([10, 9], None, [1, 0], ("9", "10")),
    "all 256 classes": (np.arange(256), None, list(range(256)), tuple(map(str, range(256)))),
    "names": (["b", "a", "b"], None, [1, 0, 1], ("a", "b")),
    "bytes": ([b"b", b"a"], None, [1, 0], ("a", "b")),
    "column": (np.array([[1], [0]]), None, [1, 0], ("0", "1")),
    "column of names": (np.array([["b"], ["a"]]), None, [1, 0], ("a", "b")),
    "tensor": (torch.tensor([1, 0], dtype=torch.uint8), None, [1, 0], ("0", "1")),
    "numbers of several types": ([np.uint64(2), np.int8(0)], None, [1, 0], ("0", "2")),
    "column of bytes": (np.array([[b"b"], [b"a"]]), None, [1, 0], ("a", "b")),
    "63 bits and more": (np.array([2**63, 0], "u8"), None, [1, 0], ("0", str(2**63))),
    "objects": (np.array([1, 0], dtype=object), None, [1, 0], ("0", "1")),
    "no mask": (np.ma.array([0, 1], mask=[0, 0]), None, [0, 1], ("0", "1")),
    "positions": ([2, 0], ("ant", "bee", "cow"), [2, 0], ("ant", "bee", "cow")),
    "ids of the source": ([3, 1], ("1", "2", "3"), [2, 0], ("1", "2", "3")),
    "255 among given classes": ([0, 255], tuple(map(str, range(256))), [0, 255], None),
}


@pytest.mark.parametrize("name", TAKEN)
def test_labels_are_numbered(name):
    labels, classes, positions, names = TAKEN[name]
    found, found_names = number_labels(labels, classes)
    assert found.tolist() == positions and found.dtype == torch.int64
    assert found_names == (names or classes)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u2", ">i8"])
def test_every_type_of_whole_numbers_is_the_same(kind):
    found, names = number_labels(np.array([2, 0, 1], dtype=kind))
    assert found.tolist() == [2, 0, 1] and names == ("0", "1", "2")


def test_text_of_variable_length_is_text():
    strings = pytest.importorskip("numpy.dtypes").StringDType()
    found, names = number_labels(np.array(["bee", "ant"], dtype=strings))
    assert found.tolist() == [1, 0] and names == ("ant", "bee")


class Missing:
    """Behaves as pandas' NA: a comparison is neither true nor false."""

    def __eq__(self, other):
        return self

    __ne__ = __eq__
    __hash__ = None

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


REFUSED = {
    "255": ([0, 1, 255, 255], '2 of 4 labels are 255, which marks "no class"'),
    "65535": (np.array([0, 1, 65535], "u2"), "1 of 3 labels are 65535"),
    "-1": ([0, -1, -100, 1], "2 of 4 labels are negative"),
    "NaN": (np.array([0.0, NAN, 1.0]), "1 of 3 labels are NaN"),
    "NaN in a list": ([0, NAN, 1], "1 of 3 labels are missing"),
    "None": (["ant", None, None], "2 of 3 labels are missing"),
    "NaN among names": (["ant", NAN], "1 of 2 labels are missing"),
    "NaN among objects": (np.array(["ant", NAN], dtype=object), "1 of 2 labels are missing"),
    "NA": (["ant", Missing()], "1 of 2 labels are missing"),
    "empty": (["ant", ""], "1 of 2 labels are missing"),
    "empty text": (np.array(["ant", ""]), "1 of 2 labels are missing"),
    "masked": (np.ma.array([0, 1, 1], mask=[0, 0, 1]), "1 of 3 labels are masked"),
    "truth values": ([0, False, 1, True], "2 of 4 labels are True or False"),
    "fractions among names": (["ant", 0.5, np.float32(1)], "2 of 3 labels are numbers that are no"),
    "a fraction beside a large number": ([10**30, 0.0], "1 of 2 labels are numbers that are not w"),
    "fractions beside large numbers": ([10**30, 0.0, Fraction(1, 2)], "2 of 3 labels are numbers"),
    "truth values among names": (["ant", True], "1 of 2 labels are True or False"),
    "masked column": (np.ma.array([[0], [1]], mask=[[0], [1]]), "1 of 2 labels are masked"),
    "masked names": (np.ma.array(["a", "b"], mask=[0, 1]), "1 of 2 labels are masked"),
    "NaN in a column": (np.array([[0.0], [NAN]], "f4"), "1 of 2 labels are NaN"),
    "NaN in a tensor": (torch.tensor([0, NAN], dtype=torch.bfloat16), "1 of 2 labels are NaN"),
    "floats in a tensor": (torch.ones(2, requires_grad=True), "names, got torch.float32"),
    "a tensor without values": (torch.ones(2, device="meta"), "on the meta device: pass a dense"),
    "a sparse tensor": (torch.ones(2).to_sparse(), "of torch.sparse_coo: pass a dense"),
    "an array of truth values": (np.array([True, False]), "whole numbers or class names, got bool"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "whole numbers or class names, got datetime64"),
    "floats": ([0.0, 1.0], "whole numbers or class names, got float64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_class_never_becomes_one(name):
    """NumPy 2.4.6 makes the text "nan" of NaN in a list of names: `np.asarray(["ant", nan])`.

    Seen by calling it; with dtype=object NaN stays NaN.
    """
    labels, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        number_labels(labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [[0], ["ant"]])
def test_no_classes_are_not_the_same_as_classes_not_given(labels):
    with pytest.raises(ValueError, match=r"are not among the classes \(\)|'0'"):
        number_labels(labels, ())


def test_ids_that_are_not_among_classes_of_numbers_are_refused():
    with pytest.raises(ValueError, match=r"labels \['0'\] are not among the classes"):
        number_labels([0, 1], ("1", "2"))


@pytest.mark.parametrize("labels", [3, "cat", {"a": 1}, {1, 2}, (label for label in "ab"), None])
def test_what_is_no_list_of_labels_is_refused(labels):
    with pytest.raises(ValueError, match=r"must be a list or an array with one|are missing"):
        number_labels(labels)
