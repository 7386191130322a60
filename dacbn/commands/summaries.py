"""Names and first lines of what is registered, read from the files without running them.

Importing all of them takes seconds, for torch alone; a list of names needs their text only.
"""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path


def read_summaries(room: str, registry: str) -> dict[str, str]:
    """Return the first line of each entry's docstring, by name.

    Args:
        room: the package whose files register, such as "dacbn.norms".
        registry: the registry's name in them, such as "norms".
    """
    spec = find_spec(room)
    folders = spec.submodule_search_locations if spec is not None else None
    files = [file for folder in folders or () for file in Path(folder).rglob("*.py")]
    found = dict(entry for file in files for entry in _read(file, registry))
    return dict(sorted(found.items()))


def _read(file: Path, registry: str) -> Iterator[tuple[str, str]]:
    text = file.read_text(encoding="utf-8")
    if f"@{registry}." not in text:
        return
    for node in ast.parse(text).body:
        for decorator in getattr(node, "decorator_list", ()):
            match decorator:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name)), args=[ast.Constant(value=entry)]
                ) if name == registry:
                    about = ast.get_docstring(node) or ""  # type: ignore[arg-type]
                    yield str(entry), about.partition("\n")[0]
