"""Read a table of images: a list of files and labels, or columns with names.

An address PATH:DOMAIN names the rows of one domain of a table, as "photos.csv:amazon".
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dacbn.datasets.columns import find_columns, no_column, spell_columns
from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.file_lists import split_line
from dacbn.datasets.parquet import read_columns, read_header
from dacbn.datasets.rows import Rows, read_parts

SEPARATORS = {".csv": ",", ".tsv": "\t"}
LISTS = {".txt", ".lst"}
PARQUET = ".parquet"
TABLES = {*SEPARATORS, *LISTS, PARQUET}


def is_table(place: str | Path) -> bool:
    """Return whether a path or address is that of a table or list of files."""
    return _is_table(locate(place)[0])


def locate(place: str | Path) -> tuple[Path, str | None]:
    """Return the path in an address, and the domain that it names; None if it names none."""
    path, text = Path(place), str(place)
    if not path.exists():
        for position in (index for index, letter in enumerate(text) if letter == ":"):
            if _is_table(table := Path(text[:position])):
                return table, text[position + 1 :]
    return path, None


def read_table(place: str | Path, columns: Sequence[str] = (), may_miss: bool = False) -> Rows:
    """Read a table or list of image files; its paths are relative to its folder.

    Lists are often kept in a folder of their own beside the images: paths may be relative to the
    folder above too. In a line of a list, the first field is the path, and the last the label.
    Names stay text: NA, nan and 007 are names.

    Args:
        place: the path of a table (.txt, .lst, .csv, .tsv, .parquet), or an address.
        columns: names of columns that differ from the usual ones, as `find_columns` takes them.
        may_miss: whether some of the files, but not all, may be missing.

    Raises:
        ModuleNotFoundError: a Parquet file needs pyarrow, which is not installed.
        ValueError: columns cannot be told, only some rows have a label, or files are missing or
            listed twice.
    """
    path, domain = locate(place)
    values, split_name = _read(path, columns)
    names = values["path"]
    if not names:
        raise ValueError(f"{path} lists no images: write a path and a label in each line")
    for role in ("path", "domain"):
        if count := values.get(role, ["."]).count(""):
            raise ValueError(f"{path} has {count} lines without a {role}: add it, or remove them")
    top = _top(path, names)
    files = [top / name for name in names]
    _check_files(path, files, may_miss)
    parts = read_parts(str(path), split_name, values["split"]) if "split" in values else None
    rows = Rows(str(place), top, files, values.get("label"), parts, values.get("domain"))
    return _check_labels(path, rows if domain is None else _select(path, rows, domain))


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in TABLES and path.is_file()


def _read(path: Path, columns: Sequence[str]) -> tuple[dict[str, list[str]], str]:
    """Return the values of the column of each role, and the name of that of splits."""
    if path.suffix.lower() == PARQUET:
        header = read_header(path)
        roles = find_columns(str(path), header, columns)
        if "path" not in roles:
            raise no_column(str(path), header, "path")
        content = read_columns(path, list(roles.values()))
        return dict(zip(roles, content, strict=True)), header[roles.get("split", 0)]
    lines = _lines(path)
    if lines and _is_header(path, lines):
        return _read_named(path, lines[0], lines[1:], columns)
    values = {"path": [line[0] for line in lines]}
    if any(len(line) > 1 for line in lines):
        values["label"] = [line[-1].strip() if len(line) > 1 else "" for line in lines]
    return values, ""


def _read_named(
    path: Path, header: list[str], lines: list[list[str]], columns: Sequence[str]
) -> tuple[dict[str, list[str]], str]:
    header = [name.strip() for name in header]
    roles = find_columns(str(path), header, columns)
    if not lines:
        raise ValueError(f"{path} has a header and no rows: write a path and a label in each line")
    if not roles and not columns and _names_image(path, lines[0][0]):
        roles = {"path": 0, "label": len(header) - 1}
    if "path" not in roles:
        raise no_column(str(path), header, "path")
    if set(roles) == {"path"} and len(header) == 2 and not columns:
        roles["label"] = 1 - roles["path"]
    if ragged := next((line for line in lines if len(line) != len(header)), None):
        raise ValueError(
            f"{path} has {len(ragged)} fields in the line of {ragged[0]!r}, and {len(header)} in "
            "its header: write as many in each, and those with commas in quotes"
        )
    values = {role: [line[place].strip() for line in lines] for role, place in roles.items()}
    return values, header[roles.get("split", 0)]


def _lines(path: Path) -> list[list[str]]:
    """Return the fields of each line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: save it as that") from error
    separator = SEPARATORS.get(path.suffix.lower())
    if separator is None:
        return [split_line(line.strip()) for line in text.splitlines() if line.strip()]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return [line for line in reader if any(line)]
    except csv.Error as error:
        raise ValueError(
            f"cannot read line {reader.line_num} of {path} ({error}): close its quotes"
        ) from error


def _is_header(path: Path, lines: list[list[str]]) -> bool:
    """Return whether the first line names columns, and no image."""
    first = lines[0]
    if path.suffix.lower() in LISTS or any(_names_image(path, field) for field in first if field):
        return False
    return (len(first) > 1 and len(lines) > 1) or "path" in find_columns(str(path), first)


def _names_image(path: Path, name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES or (path.parent / name).is_file()


def _top(path: Path, names: Sequence[str]) -> Path:
    """Return the folder that paths in a list are relative to: the one that has the first there."""
    for name in names:
        for top in (path.parent, path.parent.absolute().parent):
            if (top / name).exists():
                return top
    return path.parent


def _check_files(path: Path, files: Sequence[Path], may_miss: bool) -> None:
    missing = [file for file in files if not file.exists()]
    if missing and not (may_miss and len(missing) < len(files)):
        raise ValueError(
            f"{len(missing)} of {len(files)} files of {path} do not exist, the first is "
            f"{missing[0]}: copy them there or delete their lines; paths are relative to the "
            "folder of the list"
        )
    if twice := [file for file, count in Counter(files).items() if count > 1]:
        raise ValueError(
            f"{path} lists {len(twice)} of its files twice, the first is {twice[0]}: keep one line "
            "for each"
        )


def _check_labels(path: Path, rows: Rows) -> Rows:
    """Return rows without a column of labels that is empty; refuse one with gaps."""
    labels = rows.labels or []
    if not any(labels):
        return rows._replace(labels=None)
    if count := labels.count(""):
        raise ValueError(f"{path} has {count} lines without a label: add them, or remove the lines")
    return rows


def _select(path: Path, rows: Rows, domain: str) -> Rows:
    """Return the rows of one domain."""
    if rows.domains is None:
        cure = f"give {path} alone, or pass {spell_columns('domain=NAME')}"
        raise ValueError(f"{path} has no column of domains, so none is {domain!r}: {cure}")
    chosen = [row for row, each in enumerate(rows.domains) if each == domain]
    if not chosen:
        names = ", ".join(sorted(set(rows.domains)))
        raise ValueError(f"{path} has no domain {domain!r}: its domains are {names}")

    def take(values: list[str] | None) -> list[str] | None:
        return None if values is None else [values[row] for row in chosen]

    return Rows(
        rows.place,
        rows.top,
        [rows.files[row] for row in chosen],
        take(rows.labels),
        take(rows.parts),
        take(rows.domains),
    )
