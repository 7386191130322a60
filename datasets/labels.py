"""Number the labels of a domain; what is no class is refused, and never becomes one."""

from collections.abc import Sequence
from numbers import Integral, Number
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dacbn.datasets.class_sets import UNKNOWN, ask_about_names, find_positions, with_unknown
from dacbn.spelling import spell

IGNORED = {255, *(int(np.iinfo(kind).max) for kind in ("i2", "u2", "i4", "u4", "i8", "u8"))}


def number_labels(
    labels: ArrayLike | Tensor, classes: Sequence[str] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Return labels as positions int64 (N,), and the name of every class.

    Args:
        labels: (N,) or (N, 1): whole numbers, which need not start at 0, or names.
        classes: the name of every class; by default the sorted names or numbers that occur. Whole
            numbers are positions in `classes`, unless all of these are numbers themselves.

    Raises:
        ValueError: labels are missing, mark "no class", or are not among the classes.
    """
    values = _to_array(labels)
    if values.ndim == 0:
        raise ValueError(
            f"labels must be a list or an array with one for each image, got {labels!r:.60}"
        )
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "U":
        return _find(values, tuple(np.unique(values).tolist() if classes is None else classes))
    if values.dtype.kind not in "iu":
        raise ValueError(f"labels must be whole numbers or class names, got {values.dtype}")
    _refuse(values < 0, "negative")
    if classes is not None and not all(name.isdecimal() for name in classes):
        last = len(classes) - 1
        _refuse(values > last, f"above {last}, the last of {len(classes)} classes")
        return torch.from_numpy(values.astype(np.int64)), tuple(classes)
    ids = np.unique(values)
    if classes is None and len(ids) > 1 and ids[-1] in IGNORED and ids[-2] + 1 != ids[-1]:
        _refuse(values == ids[-1], f'{ids[-1]}, which marks "no class"')
    return _find(values.astype(str), tuple(map(str, ids.tolist()) if classes is None else classes))


def number_open_labels(
    labels: ArrayLike | Tensor, classes: Sequence[str]
) -> tuple[Tensor, tuple[str, ...]]:
    """Number labels of which some are not among the classes; all of these become "unknown".

    Arguments, result and errors as in `number_labels`; "unknown" follows `classes`.

    Example:
        >>> number_open_labels(["cat", "fox", "emu"], ("ant", "cat"))
        (tensor([1, 2, 2]), ('ant', 'cat', 'unknown'))
    """
    found, own = number_labels(labels)
    numbers = all(name.isdecimal() for name in own) and not all(map(str.isdecimal, classes))
    names = [*map(str, range(len(classes)))] if numbers else classes
    return find_positions(own, names)[found], with_unknown(classes)


def _find(names: NDArray[np.str_], classes: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    positions = {name: position for position, name in enumerate(classes)}
    if unknown := sorted(set(names.ravel().tolist()) - positions.keys()):
        raise ValueError(
            f"labels {unknown} are not among the classes {classes}"
            f"{ask_about_names(unknown, classes)}: leave them out, or train with "
            f"{spell('unknown', True)} to have them answered as one class {UNKNOWN!r}"
        )
    found = [positions[name] for name in names.ravel().tolist()]
    return torch.tensor(found, dtype=torch.int64).reshape(names.shape), classes


def _to_array(labels: ArrayLike | Tensor) -> NDArray[Any]:
    """Return whole numbers, or text; refuse labels that are missing."""
    if isinstance(labels, Tensor):
        labels = _from_tensor(labels)
    if isinstance(labels, np.ma.MaskedArray):
        _refuse(np.ma.getmaskarray(labels), "masked")
    if isinstance(labels, list | tuple):  # NumPy would make the text "nan" of NaN among names
        labels = np.array(labels, dtype=object)
    values = np.asarray(labels)
    if values.dtype.kind not in "OTSU":
        if values.dtype.kind == "f":
            _refuse(np.isnan(values), "NaN")
        return values
    objects = values.astype(object)
    missing = [_is_missing(label) for label in objects.ravel().tolist()]
    _refuse(np.array(missing, dtype=bool), "missing (None, NaN or empty)")
    truths = [isinstance(label, bool | np.bool_) for label in objects.ravel().tolist()]
    _refuse(np.array(truths, dtype=bool), "True or False")
    if all(isinstance(label, bytes) for label in objects.ravel().tolist()):
        return np.char.decode(objects.astype(bytes))
    if all(isinstance(label, Integral) for label in objects.ravel().tolist()):
        objects = np.vectorize(int, otypes=[object])(objects)  # of two types, NumPy makes floats
    plain = np.array(objects.tolist())
    if plain.dtype.kind in "iufbc":
        return plain
    others = [isinstance(x, Number) and not isinstance(x, Integral) for x in objects.flat]
    _refuse(np.array(others, dtype=bool), "numbers that are not whole")
    return objects.astype(str)


def _from_tensor(labels: Tensor) -> NDArray[Any]:
    if labels.is_meta or labels.layout != torch.strided:
        kind = "on the meta device" if labels.is_meta else f"of {labels.layout}"
        raise ValueError(f"labels in a tensor {kind}: pass a dense one with values")
    if labels.is_floating_point():  # NumPy has not all of its types
        _refuse(labels.isnan().cpu().numpy(), "NaN")
        raise ValueError(f"labels must be whole numbers or class names, got {labels.dtype}")
    return labels.cpu().numpy()


def _is_missing(label: Any) -> bool:
    try:
        return label is None or label in ("", b"") or bool(label != label)
    except TypeError:  # pandas' NA compares to NA
        return True


def _refuse(wrong: NDArray[np.bool_], what: str) -> None:
    if count := np.count_nonzero(wrong):
        raise ValueError(
            f"{count} of {wrong.size} labels are {what}: leave these images out, or give them "
            "without labels"
        )
