"""Labels in the form in which the user gave them: whole numbers of their type, or text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dacbn.datasets.class_sets import UNKNOWN
from dacbn.datasets.recognise import is_pair

POSITIONS = "positions"  # the source came without labels of its own: a folder, a name, a domain
TEXT, OBJECTS = "text", "objects"  # arrays of text of NumPy, and columns of a table


def kind_of_labels(source: Any) -> str:
    """Return the form of the labels in a source, which `label_values` takes.

    It is the name of NumPy's type for whole numbers, `TEXT` or `OBJECTS` for names, and `POSITIONS`
    for what is no pair (images, labels).

    Example:
        >>> images = np.zeros((2, 8, 8), dtype=np.uint8)
        >>> [kind_of_labels((images, labels)) for labels in (["a", "b"], np.array([3, 5], "u1"))]
        ['text', 'uint8']
    """
    if not is_pair(source):
        return POSITIONS
    labels = source[1]
    given = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if given.dtype.kind == "O":  # also pandas' whole numbers, which may lack some
        numbers = np.array(given.ravel().tolist())
        return str(numbers.dtype) if numbers.dtype.kind in "iu" else OBJECTS
    return str(given.dtype.newbyteorder("=")) if given.dtype.kind in "iu" else TEXT


def label_values(kind: str, classes: Sequence[str]) -> NDArray[Any]:
    """Return the label of each class (num_classes,), in the form that the user gave.

    Args:
        kind: what `kind_of_labels` returned.
        classes: the names of the classes.

    Example:
        >>> label_values("uint8", ("3", "5")), label_values("positions", ("ant", "bee"))
        (array([3, 5], dtype=uint8), array([0, 1]))
    """
    if kind == POSITIONS:
        return np.arange(len(classes))
    if kind in (TEXT, OBJECTS):
        return np.array(classes, dtype=object if kind == OBJECTS else None)
    return np.array([int(name) for name in classes], dtype=kind)


def to_labels(positions: NDArray[np.int64], values: NDArray[Any], missing: int) -> NDArray[Any]:
    """Return the labels (N,) of positions among the classes.

    Args:
        positions: int64 (N,); the number of classes stands for "unknown", negative ones for none.
        values: the label of each class.
        missing: the label of an image without an answer, where labels are numbers; else it is "".

    Returns:
        labels of the type of `values`; "unknown" is the number after the largest one. Numbers are
        int64 where their own type cannot hold all of these.

    Example:
        >>> to_labels(np.array([1, 0, 2, -9]), np.array(["ant", "bee"]), -9)
        array(['bee', 'ant', 'unknown', ''], dtype='<U7')
        >>> to_labels(np.array([1, 2, -9]), np.array([3, 5], dtype=np.uint8), -9)
        array([ 5,  6, -9])
    """
    known = (positions >= 0) & (positions < len(values))
    if known.all():
        return values[positions]
    names = values.dtype.kind in "OU"
    others: list[Any] = [UNKNOWN, ""] if names else [int(values.max()) + 1, missing]
    kind = object if values.dtype.kind == "O" else None if names else np.int64
    every = np.array([*values.tolist(), *others], dtype=kind)
    return every[np.where(positions < 0, len(values) + 1, positions)]
