"""The examples in docstrings do what they show."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import dacbn

FEWEST = 15  # docstrings with an example; there is no upper limit


def modules_with_examples() -> list[str]:
    """List the modules whose text has an example, the rooms behind links included."""
    return [name for name, file in sorted(files(Path(dacbn.__file__).parent, "dacbn"))]


def files(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    for found in pkgutil.iter_modules([str(folder)]):
        name, path = f"{package}.{found.name}", folder / found.name
        if found.ispkg:
            yield from files(path, name)
        elif ">>> " in path.with_suffix(".py").read_text(encoding="utf-8"):
            yield name, path


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_do_what_they_show(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_public_doors_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in modules_with_examples()]
    examples = [test for module in modules for test in finder.find(module) if test.examples]
    assert len(examples) >= FEWEST
