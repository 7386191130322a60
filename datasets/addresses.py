"""What a place names: rows of a table or a file of arrays; and the domains in it."""

from collections.abc import Sequence
from pathlib import Path

from dacbn.datasets.npz import is_array_file, read_array_rows
from dacbn.datasets.rows import Rows
from dacbn.datasets.sight import say_what_was_seen
from dacbn.datasets.tables import is_table, locate, read_table


def read_rows(
    place: str | Path, columns: Sequence[str] = (), may_miss: bool = False
) -> Rows | None:
    """Read the rows of a table, of one of its domains, or of a file of arrays; None of others.

    Args:
        place: a path, or an address PATH:DOMAIN.
        columns: columns of a table, as `find_columns` takes them.
        may_miss: whether some of the files that it names, but not all, may be missing.

    Raises:
        ValueError: the file cannot be used.
    """
    if is_table(place):
        return read_table(place, columns, may_miss)
    return read_array_rows(Path(place)) if is_array_file(place) else None


def expand(place: str | Path, columns: Sequence[str] = ()) -> tuple[str, ...]:
    """Return an address for each domain of a table that has several, sorted by name.

    Anything else gives itself.

    Args:
        place: a dataset's name, a path, or an address.
        columns: as in `load_labelled`.

    Raises:
        ValueError: the table cannot be used.

    Example:
        >>> expand("digits")
        ('digits',)
    """
    if not is_table(place) or locate(place)[1] is not None:
        return (str(place),)
    rows = read_table(place, columns)
    domains = sorted(set(rows.domains or ()))
    if len(domains) < 2:
        return (str(place),)
    labels = None if rows.labels is None else len(set(rows.labels))
    say_what_was_seen(place, len(rows.files), labels, domains=domains)
    return tuple(f"{place}:{domain}" for domain in domains)
