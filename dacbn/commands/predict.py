"""dacbn predict: label images."""

import csv
import io
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.commands.cells import to_cell
from dacbn.datasets import read_files
from dacbn.training import write_output


def predict(
    run: Positional[Path],
    images: Positional[tuple[Path, ...]],
    output: Path | None = None,
    adapt: str | None = None,
    on_unreadable: Literal["skip", "raise"] = "skip",
    device: str = "auto",
) -> None:
    """Label images; print a CSV table of path, label and confidence.

    Args:
        run: a run folder.
        images: image files, or folders of them.
        output: write the table to this file, device or pipe instead.
        adapt: a test-time method, tent or sar, that adapts the network to the images while it
            labels them; the run is not changed. Give many images: a single one is labelled as
            without it.
        on_unreadable: what to do with images that cannot be decoded.
        device: cpu, cuda, or auto.
    """
    if not images:
        raise ValueError("give image files, or folders of them, to predict")
    adapter = DomainAdapter.from_pretrained(run, device)
    readable, paths = read_files(images, adapter.image_size, on_unreadable, adapter.config.fit)
    probabilities = adapter.predict_proba(readable, adapt=adapt)
    rows = [
        (to_cell(str(path)), to_cell(adapter.classes[row.argmax()]), f"{row.max():.4f}")
        for path, row in zip(paths, probabilities, strict=True)
    ]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("path", "label", "confidence"), *rows])
    if output is None:
        print(table.getvalue(), end="")
    else:
        write_output(output, table.getvalue())
        if output.is_file():  # the table itself may have gone to what this would be printed to
            print(f"wrote {output}")
