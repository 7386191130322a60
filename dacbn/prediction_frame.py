"""Predictions as a table of pandas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dacbn.answers import Answer

if TYPE_CHECKING:
    import pandas as pd


def to_frame(
    answers: Sequence[Answer], labels: NDArray[Any], classes: Sequence[str], index: Any = None
) -> "pd.DataFrame":
    """Return a table with the columns of `dacbn predict`, one row for each image.

    Args:
        answers: to N images.
        labels: what the column "label" holds (N,).
        classes: names of the classes.
        index: of the table; None counts from 0.

    Raises:
        ModuleNotFoundError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a table of predictions needs pandas: pip install 'dacbn[pandas]'", name="pandas"
        ) from error
    nothing = np.full(len(classes), np.nan, dtype=np.float32)
    rows = [nothing if each.probabilities is None else each.probabilities for each in answers]
    shares = np.stack(rows)
    columns: dict[str, Any] = {
        "path": [None if each.file is None else str(each.file) for each in answers],
        "label": labels,
        "confidence": shares.max(1),
        "error": [each.reason for each in answers],
    }
    columns |= {f"probability of {name}": shares[:, place] for place, name in enumerate(classes)}
    return pd.DataFrame(columns, index=index)
