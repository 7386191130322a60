"""Read a text file or CSV table that names an image and its label in each line."""

import csv
from pathlib import Path

from dacbn.datasets.decoding import SUFFIXES

LIST_SUFFIXES = {".txt", ".lst", ".csv", ".tsv"}
SEPARATORS = {".csv": ",", ".tsv": "\t"}


def is_list(path: str | Path) -> bool:
    """Return whether a path is that of a list of files."""
    return Path(path).suffix.lower() in LIST_SUFFIXES and Path(path).is_file()


def read_list(path: Path) -> tuple[list[Path], list[str] | None]:
    """Read a list of image files, relative to the folder of the list.

    In a line the first field is the path and the last the label; a table may have a header.
    Fields of .txt and .lst are separated by white space, and the path may contain spaces.

    Returns:
        the N files, and N labels; None if no line has a label.

    Raises:
        ValueError: the list is empty, only some lines have labels, or files are missing or listed
            twice.
    """
    rows = _rows(path)
    if rows and len(rows) > 1 and len(rows[0]) > 1 and not _names_image(path, rows[0][0]):
        rows = rows[1:]  # the header
    if not rows:
        raise ValueError(f"{path} lists no images: write a path and a label in each line")
    files = [path.parent / row[0] for row in rows]
    if missing := [file for file in files if not file.exists()]:
        raise ValueError(
            f"{path} lists {len(missing)} files that do not exist, the first is {missing[0]}"
        )
    if len(set(files)) < len(files):
        raise ValueError(f"{path} lists files twice: keep one line for each")
    if all(len(row) == 1 for row in rows):
        return files, None
    labels = [row[-1].strip() for row in rows if len(row) > 1]
    if count := len(rows) - sum(map(bool, labels)):
        raise ValueError(f"{path} has {count} lines without a label: add them, or remove the lines")
    return files, labels


def _rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: save it as that") from error
    if separator := SEPARATORS.get(path.suffix.lower()):
        return [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(row)]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [
        [line] if Path(line).suffix.lower() in SUFFIXES else line.rsplit(None, 1) for line in lines
    ]


def _names_image(path: Path, name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES or (path.parent / name).is_file()
