"""The table of `dacbn predict`: a row for every file."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from dacbn.commands.cells import to_cell
from dacbn.datasets import ImageFile

if TYPE_CHECKING:
    from torch import Tensor

    from dacbn.batch import Output

Added = Literal["probabilities", "logits", "features"]


class Predictions(NamedTuple):
    """What a network says of N files, of which R can be read.

    Attributes:
        files: all files.
        reasons: why each cannot be read; None for one that can.
        output: features and logits of those that can be read, in order.
        labels: int64 (R,), of these; the number of classes stands for "unknown".
        classes: names of the classes.
    """

    files: Sequence[ImageFile]
    reasons: Sequence[str | None]
    output: "Output"
    labels: "Tensor"
    classes: Sequence[str]


def write_table(
    predictions: Predictions,
    top: int,
    added: Sequence[Added],
    cell: Callable[[str], str] = to_cell,
) -> str:
    """Write predictions as CSV.

    Args:
        predictions: of N files.
        top: how many of the likeliest classes have columns.
        added: further columns, in this order.
        cell: escapes names of files and classes.

    Returns:
        a header, and N rows: path, label, confidence and error; then the labels and confidences of
        the next likely classes, and what is added. A file that cannot be read has an error alone.
    """
    classes = [cell(name) for name in predictions.classes]
    header = ["path", "label", "confidence", "error"]
    header += [f"{name}_{rank}" for rank in range(2, top + 1) for name in header[1:3]]
    for kind in added:
        header += _headings(kind, classes, predictions.output.features.shape[1])
    answers = iter(_answers(predictions, classes, top, added))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for file, reason in zip(predictions.files, predictions.reasons, strict=True):
        answer = next(answers) if reason is None else [""] * (len(header) - 2)
        error = "" if reason is None else cell(reason)
        writer.writerow([cell(str(file)), *answer[:2], error, *answer[2:]])
    return text.getvalue()


def _answers(
    predictions: Predictions, classes: Sequence[str], top: int, added: Sequence[Added]
) -> list[list[str]]:
    """Write the cells of the files that can be read, without path and error."""
    import torch

    from dacbn.datasets import UNKNOWN

    features, logits = predictions.output
    probabilities = logits.softmax(1)
    confidences, labels = probabilities.topk(top)
    unknown = predictions.labels == len(classes)
    # before the likeliest classes, with the confidence of the first
    shifted = labels.roll(1, 1), confidences[:, [0, *range(top - 1)]]
    shifted[0][:, 0] = len(classes)
    confidences = torch.where(unknown[:, None], shifted[1], confidences)
    labels = torch.where(unknown[:, None], shifted[0], labels)
    names = (*classes, UNKNOWN)
    ranked = [
        [cell for label, value in zip(*row, strict=True) for cell in (names[label], f"{value:.4f}")]
        for row in zip(labels.tolist(), confidences.tolist(), strict=True)
    ]
    kinds = {"probabilities": probabilities, "logits": logits, "features": features}
    numbers = torch.cat([logits[:, :0], *(kinds[kind] for kind in added)], 1).tolist()
    return [
        [*cells, *(f"{value:.6g}" for value in row)]
        for cells, row in zip(ranked, numbers, strict=True)
    ]


def _headings(kind: Added, classes: Sequence[str], features: int) -> list[str]:
    if kind == "features":
        return [f"feature {number}" for number in range(features)]
    what = {"probabilities": "probability", "logits": "logit"}[kind]
    return [f"{what} of {name}" for name in classes]
