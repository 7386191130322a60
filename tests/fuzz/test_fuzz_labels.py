"""Labels of any type and shape: a class for each image, or a refusal in a line."""

import numpy as np
import torch
from fuzzing import LEAVES, examples, refusal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dacbn.datasets.arrays import labelled

SHAPES = st.one_of(
    st.tuples(st.integers(0, 6)),
    st.tuples(st.integers(0, 6), st.integers(0, 2)),
    st.just(()),
    st.just((2, 1, 1)),
)
DTYPES = st.one_of(
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(),
    hnp.boolean_dtypes(),
    hnp.unicode_string_dtypes(max_len=3),
    hnp.byte_string_dtypes(max_len=3),
    hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(),
)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES))
FEW = st.one_of(
    hnp.arrays(np.int64, st.integers(0, 6), elements=st.integers(-1, 4)),
    hnp.arrays(np.uint8, st.integers(0, 6), elements=st.sampled_from([0, 1, 2, 255])),
    hnp.arrays(np.float64, st.integers(0, 6), elements=st.sampled_from([0.0, 1.0, np.nan])),
)


def mask(array):
    return st.builds(np.ma.array, st.just(array), mask=hnp.arrays(bool, array.shape))


LABELS = st.one_of(
    ARRAYS,
    FEW,
    FEW.flatmap(mask),
    FEW.map(lambda array: torch.tensor(np.asarray(array))),
    FEW.map(lambda array: array.astype(object)),
    st.lists(LEAVES, max_size=6),
    st.lists(st.sampled_from(["ant", "bee", "", None, float("nan"), b"ant", 1, np.str_("bee")])),
    st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=4),
)
CLASSES = st.one_of(
    st.none(),
    st.sampled_from([("ant", "bee"), ("0", "1", "2"), ("1", "2"), ("a",), ()]),
    st.lists(st.text(max_size=3), max_size=3).map(tuple),
)


@examples(0.15)
@given(LABELS, CLASSES, st.integers(0, 6))
def test_labels_are_classes_of_their_images_or_are_refused(labels, classes, other):
    count = len(labels) if np.ndim(np.asarray(labels, dtype=object)) else other
    with refusal(ValueError) as said:
        domain = labelled(np.zeros((count, 4, 4), np.uint8), labels, classes)
    if said:
        return
    assert domain.labels.dtype == torch.int64 and domain.labels.shape == (count,)
    assert classes is None or domain.classes == tuple(classes)
    typed = np.asarray(labels, dtype=object).ravel().tolist()
    assert len(typed) == count and not any(label is None or label != label for label in typed)
    for label, position in zip(typed, domain.labels.tolist(), strict=True):
        assert 0 <= position < len(domain.classes)
        assert not isinstance(label, (float, bool, complex))
        text = label.decode() if isinstance(label, bytes) else str(label)
        name = domain.classes[position]
        assert name == text or (position == int(text) and not all(map(str.isdecimal, classes)))
