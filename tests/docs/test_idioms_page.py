"""Every row of the page on other libraries has a test, and every tested idiom a row."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pages" / "idioms.md"


def rows():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def idioms_of_tests():
    """Return the idioms that tests are marked with."""
    found = set()
    for path in sorted((ROOT / "tests" / "idioms").glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        }
        marks = (
            mark
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            for mark in node.decorator_list
            if isinstance(mark, ast.Call) and getattr(mark.func, "id", None) == "idiom"
        )
        found |= {
            mark.args[0].value if isinstance(mark.args[0], ast.Constant) else names[mark.args[0].id]
            for mark in marks
        }
    return found


def test_rows_and_tests_name_the_same_idioms():
    named = [row[0] for row in rows()]
    assert len(named) == len(set(named)) and set(named) == idioms_of_tests()


def test_every_row_has_all_columns():
    assert {len(row) for row in rows()} == {5}
