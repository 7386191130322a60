"""The command line and the package begin without the libraries that take seconds to import."""

import json
import subprocess
import sys

import pytest

SLOW = ["torch", "timm", "torchvision", "sklearn", "scipy", "pandas", "matplotlib", "numpy"]
RUN = """
import json, sys
from contextlib import suppress

sys.argv = ["dacbn", *json.loads(sys.argv[1])]
from dacbn.cli import main
with suppress(SystemExit):
    main()
print(json.dumps([name for name in json.loads({slow!r}) if name in sys.modules]))
"""


def imported_by(code, *words):
    command = [sys.executable, "-c", code.format(slow=json.dumps(SLOW)), *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["compare", "--help"],
        ["benchmark", "--help"],
        ["tune", "--help"],
        ["train", "--sorce", "mnist"],
        ["predict", "--adpat", "tent"],
        ["lost"],
        ["list"],
        ["train", "--source", "a", "--source", "b"],
    ],
    ids=" ".join,
)
def test_help_mistakes_and_names_need_no_slow_library(words):
    assert imported_by(RUN, json.dumps(words)) == []


def test_the_adapter_needs_timm_and_figures_only_when_they_are_used():
    code = """
import dacbn, json, sys

dacbn.DomainAdapter()
late = ("timm", "torchvision", "matplotlib", "sklearn.cluster", "sklearn.linear_model")
print(json.dumps([name for name in late if name in sys.modules]))
"""
    assert imported_by(code) == []


def test_a_training_on_digits_needs_neither_timm_nor_torchvision():
    code = """
import dacbn, json, sys

config = dict(steps=1, source_batch_size=4, target_batch_size=4, device="cpu")
adapter = dacbn.DomainAdapter(method="dann", **config).fit("digits", "color_digits")
late = ("timm", "torchvision", "matplotlib")
print(json.dumps([name for name in late if name in sys.modules]))
"""
    assert imported_by(code) == []


def test_every_public_name_can_be_imported():
    code = """
import json, pkgutil
from importlib import import_module

import dacbn

rooms = [each.name for each in pkgutil.iter_modules(dacbn.__path__, "dacbn.") if each.ispkg]
missing = [
    f"{{room}}.{{name}}"
    for room in rooms
    for name in import_module(room).__all__
    if not hasattr(import_module(room), name)
]
assert len(rooms) > 10
print(json.dumps(missing))
"""
    assert imported_by(code) == []
