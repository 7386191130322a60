"""Labels in webdataset shards: the fields that hold them, and the names of numbers.

A field is `cls` (a number or a name, as text), also under the names `class` and `label`, or `json`
with an entry "label". Numbers are named by the lines of a file `classes.txt` beside the shards: it
travels with them, and serves everyone who reads them.
"""

import json
from collections.abc import Sequence

FIELDS = ("cls", "class", "label", "json")
CLASSES = "classes.txt"


def read_label(field: str, content: bytes) -> str | None:
    """Return the label in a field of a sample, as text; None if JSON has none.

    Raises:
        ValueError: the field is no text, no JSON, or its label neither a number nor a name.
    """
    if field != "json":
        return content.decode().strip() or None
    values = json.loads(content)
    label = values.get("label") if isinstance(values, dict) else None
    if label is None:
        return None
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise ValueError(f"the label {label!r:.40} is neither a whole number nor a name")
    return str(label).strip() or None


def parse_classes(text: str) -> tuple[str, ...]:
    """Return the names in `classes.txt`: line k names the number k, from 0.

    Raises:
        ValueError: a line is empty, or a name comes twice.
    """
    names = tuple(line.strip() for line in text.splitlines())
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"{CLASSES} must have one name in each line, and none twice")
    return names


def name_labels(labels: Sequence[str], names: Sequence[str] | None) -> list[str] | list[int]:
    """Return labels by name; as numbers, if they are numbers and have no names.

    Raises:
        ValueError: a label is not in `classes.txt`.
    """
    numbers = all(label.removeprefix("-").isdecimal() for label in labels)
    if names is None:
        return list(map(int, labels)) if numbers else list(labels)
    if numbers:
        found = {str(number): name for number, name in enumerate(names)}
    else:
        found = {name: name for name in names}
    if unknown := sorted(set(labels) - found.keys()):
        raise ValueError(f"{CLASSES} names {len(names)} classes, and not {unknown[0]!r}: add it")
    return [found[label] for label in labels]
