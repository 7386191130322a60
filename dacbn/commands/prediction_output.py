"""Where predictions go: a table as CSV or Parquet, by the ending of the file, or printed."""

import io
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dacbn.commands.prediction_table import Predictions
from dacbn.plain_text import say
from dacbn.training import write_atomically, write_output

if TYPE_CHECKING:
    from dacbn.datasets import Images

PARQUET = (".parquet", ".pq")
NUMBERS = ("confidence", "probability of ", "logit of ", "feature ")  # how columns of them begin


def is_parquet(output: Path | None) -> bool:
    """Whether a table goes to a Parquet file, whose cells need no escapes."""
    return output is not None and output.suffix.lower() in PARQUET


def check_output(output: Path | None, report: Path | None = None) -> None:
    """Check, before the work, that the table and the page can be written.

    Raises:
        ModuleNotFoundError: a Parquet file needs pyarrow, which is not installed.
        ValueError: a path is a folder, or both are the same.
    """
    if output is not None and is_parquet(output):
        _pyarrow(output)
    for option, path in (("--output", output), ("--report", report)):
        if path is not None and path.is_dir():
            raise ValueError(f"{option} needs a file to write, and {path} is a folder")
    if output is not None and output == report:
        raise ValueError(f"--output and --report are both {output}: give each a file of its own")


def put_table(table: str, output: Path | None) -> None:
    """Write a table to a file, or print it.

    Args:
        table: as CSV.
        output: a file, device or pipe; one that ends with .parquet gets numbers as float32 and
            empty cells as null. None prints.

    Raises:
        StorageError: the file cannot be written.
    """
    if output is None:
        _print(table)
        return
    if is_parquet(output):
        write_atomically(output, lambda draft: _write_parquet(table, draft))
    else:
        write_output(output, table)
    if output.is_file():  # the table itself may have gone to what this would be printed to
        say(f"wrote {output}")


def put_gallery(
    path: Path, title: str, answered: Predictions, images: "Images", command: str
) -> None:
    """Write a page with the images by predicted class.

    Args:
        path: the file.
        title: of the page.
        answered: what the network says of all files.
        images: those that can be read, in order.
        command: makes the page again.

    Raises:
        StorageError: the file cannot be written.
    """
    from dacbn.analysis.predictions.page import write_gallery

    files = list(zip(answered.files, answered.reasons, strict=True))
    names = [str(file) for file, reason in files if reason is None]
    failed = [(str(file), reason) for file, reason in files if reason is not None]
    write_gallery(
        *(path, title, images, names, answered.output, answered.classes, failed, [command])
    )


def _write_parquet(table: str, draft: Path) -> None:
    _pyarrow(draft)
    import pyarrow as pa
    from pyarrow import csv, parquet

    header = table.partition("\n")[0]
    names = csv.read_csv(io.BytesIO(header.encode() + b"\n")).column_names
    types = {name: pa.float32() if name.startswith(NUMBERS) else pa.string() for name in names}
    convert = csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    parse = csv.ParseOptions(newlines_in_values=True)
    content = io.BytesIO(table.encode(errors="backslashreplace"))
    parquet.write_table(csv.read_csv(content, parse_options=parse, convert_options=convert), draft)


def _pyarrow(path: Path) -> ModuleType:
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs pyarrow: pip install 'dacbn[parquet]', or name a .csv file",
            name="pyarrow",
        ) from error
    found: ModuleType = pyarrow
    return found


def _print(table: str) -> None:
    """Print a table; what the encoding of the output lacks becomes an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    print(table.encode(encoding, "backslashreplace").decode(encoding), end="")
