"""Which column of a table holds what: told by its name, or named by the user."""

from collections.abc import Sequence

from dacbn.spelling import spell

NAMES = {  # of columns, without case, spaces and other separators
    "path": (
        *("path", "file", "filename", "filepath", "image", "imagepath", "imagefile"),
        *("imagefilename", "imagename", "img", "imgpath", "imgfile", "imgfilename", "imgname"),
    ),
    "label": ("label", "labels", "labelname", "class", "classname", "category", "y"),
    "domain": ("domain", "domainname", "source", "site", "environment", "env"),
    "split": ("split", "part", "subset", "fold", "partition"),
}


def find_columns(place: str, header: Sequence[str], columns: Sequence[str] = ()) -> dict[str, int]:
    """Find the columns of paths, labels, domains and splits.

    Args:
        place: the table, for messages.
        header: the names of its columns.
        columns: columns that the user names, each as "ROLE=NAME". Of several for one role the first
            that the table has is taken; "ROLE=" says that no column has it.

    Returns:
        the position of the column of each role that has one.

    Raises:
        ValueError: the name of a column fits a role as well as another, or a column that is named
            does not exist.

    Example:
        >>> find_columns("t.csv", ["File Name", "species", "site"], ["label=species"])
        {'path': 0, 'label': 1, 'domain': 2}
    """
    named = {role: _choose(place, header, role, columns) for role in _roles(columns)}
    found = {}
    for role, known in NAMES.items():
        free = [name for name in header if name not in named.values()]
        fitting = [name for name in free if _squash(name) in known]
        if role in named:
            fitting = [name for name in header if name == named[role]]
        if len(fitting) > 1:
            one_name = len(set(fitting)) == 1
            cure = "rename one of them" if one_name else spell_columns(f"{role}={fitting[0]}")
            raise ValueError(f"{place} has several columns of a {role}, {_list(fitting)}: {cure}")
        if fitting:
            found[role] = header.index(fitting[0])
    return found


def spell_columns(*columns: str) -> str:
    """Spell the setting that names columns, with these."""
    return spell("columns", columns)


def no_column(place: str, header: Sequence[str], role: str) -> ValueError:
    """Return the error for a table of which no column has a role."""
    cure = spell_columns(f"{role}=NAME")
    return ValueError(f"{place} has no column of a {role} among {_list(header)}: name it by {cure}")


def _roles(columns: Sequence[str]) -> list[str]:
    for text in columns:
        role, sign, _ = text.partition("=")
        if role not in NAMES or not sign:
            raise ValueError(
                f"{spell('columns')} takes ROLE=NAME, with a role of {', '.join(NAMES)}, got "
                f"{text!r}"
            )
    return list(dict.fromkeys(text.partition("=")[0] for text in columns))


def _choose(place: str, header: Sequence[str], role: str, columns: Sequence[str]) -> str | None:
    """Return the column that the user names for a role; None if there is to be none."""
    wanted = [text.partition("=")[2] for text in columns if text.partition("=")[0] == role]
    chosen = next((name for name in wanted if name in header or not name), None)
    if chosen is None:
        raise ValueError(
            f"{place} has no column {wanted[0]!r}, which {spell('columns')} names as that of a "
            f"{role}: its columns are {_list(header)}"
        )
    return chosen or None


def _squash(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _list(names: Sequence[str]) -> str:
    return ", ".join(filter(None, names))
