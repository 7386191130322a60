"""Read columns of a Parquet file as text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_header(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        ValueError: the file cannot be read.
    """
    return list(_open(path).schema_arrow.names)


def read_columns(path: Path, positions: Sequence[int]) -> list[list[str]]:
    """Return the values of columns as text, "" for a missing one; no other column is read.

    Text that is stored as codes comes back as text: each group of rows has codes of its own.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        ValueError: the file cannot be read, or a column holds neither text nor numbers.
    """
    file = _open(path)
    names = [file.schema_arrow.names[position] for position in positions]
    table = file.read(columns=names)
    return [_to_text(path, name, table[name].to_pylist()) for name in names]


def _open(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs pyarrow: pip install 'dacbn[parquet]', or save the table as .csv"
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"cannot read {path} ({reason}): save it as Parquet again") from error


def _to_text(path: Path, name: str, values: list[Any]) -> list[str]:
    """Write values as text. Whole numbers lost their type if one was missing, and get it back."""
    wrong = next((each for each in values if not isinstance(each, str | int | float | None)), None)
    if wrong is not None:
        raise ValueError(
            f"column {name!r} of {path} holds values of type {type(wrong).__name__}: store paths "
            "and names as text"
        )
    numbers = [each for each in values if isinstance(each, float) and each == each]
    if fraction := next((each for each in numbers if not each.is_integer()), None):
        raise ValueError(
            f"column {name!r} of {path} holds {fraction}, which is no name: store text or whole "
            "numbers"
        )
    return [
        "" if each is None or each != each else str(int(each) if isinstance(each, float) else each)
        for each in values
    ]
