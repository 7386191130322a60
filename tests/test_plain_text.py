"""Names of files and classes do nothing to a terminal."""

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dacbn.plain_text import plain, say

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "dacbn" / "commands"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("name", ["\x1b[31m", "\x07", "\r", "\x9b2J", "\u202e", "\x7f", "\udce9"])
def test_what_a_terminal_would_obey_is_an_escape(name):
    assert plain(f"a{name}b") == f"a{ascii(name)[1:-1]}b"


def test_letters_of_all_languages_and_line_breaks_stay():
    assert plain("é → 猫 🐱\n\tß") == "é → 猫 🐱\n\tß"


def test_lines_are_said_plainly(capsys):
    say("a\x1b[0m", Path("b"))
    assert capsys.readouterr().out == "a\\x1b[0m\nb\n"


def test_commands_print_what_has_names_by_say():
    """`print` is left to lists of dacbn's own names, to benchmarks, and to the table of predict."""
    prints = {
        path.stem
        for path in COMMANDS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    }
    table = {"prediction_output", "predict"}
    assert prints <= {"benchmark", "benchmark_streams", "list_names", *table}


def test_work_goes_on_when_the_reader_of_its_lines_has_gone():
    code = "from dacbn.plain_text import say\nfor n in range(9): say(n)\nopen('done', 'w')"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=ENVIRONMENT
        )
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
        assert Path(folder, "done").exists()
