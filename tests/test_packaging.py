"""Every module has one address, and Python started in the checkout finds all of them.

Builds and installations are tested by `.ci/packages`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# An editable install finds the package wherever Python is started, so its finders are removed.
FIND_MODULES = """
import importlib.util, json, pkgutil, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
import dacbn, dacbn.analysis, dacbn.datasets

names = [module.name for module in pkgutil.walk_packages(dacbn.__path__, "dacbn.")]
second_addresses = ["dacbn.dacbn", "dacbn.tests", "dacbn.datasets.analysis"]
print(json.dumps({
    "imported": [dacbn.analysis.__file__, dacbn.datasets.__file__],
    "modules": [(name, importlib.util.find_spec(name).origin) for name in names],
    "second addresses": [name for name in second_addresses if importlib.util.find_spec(name)],
}))
"""


@pytest.fixture(scope="module")
def found():
    """Return what a new Python process finds that is started in the checkout."""
    command = [sys.executable, "-c", FIND_MODULES]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def modules_on_disk():
    """Return the file of every module; dacbn/analysis and dacbn/datasets are links to rooms."""
    files = [
        path for room in ("dacbn", "analysis", "datasets") for path in ROOT.glob(f"{room}/**/*.py")
    ]
    modules = {}
    for path in files:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts if parts[0] == "dacbn" else ("dacbn", *parts))
        modules[name.removesuffix(".__init__")] = path
    return modules


def test_walking_the_package_lists_every_module_once(found):
    listed = [(name, Path(file).resolve()) for name, file in found["modules"]]
    on_disk = modules_on_disk()
    del on_disk["dacbn"]  # the walk starts below it
    assert len(on_disk) > 150
    assert sorted(listed) == sorted(on_disk.items())


def test_both_rooms_are_imported_from_the_checkout(found):
    rooms = [Path(file).resolve().parent for file in found["imported"]]
    assert rooms == [ROOT / "analysis", ROOT / "datasets"]


def test_no_module_has_a_second_address(found):
    assert found["second addresses"] == []


def test_a_checkout_without_links_says_what_to_do(tmp_path):
    """Git on Windows writes the target of a link into a text file."""
    (tmp_path / "dacbn").mkdir()
    for name in ("__init__.py", "checkout.py"):
        (tmp_path / "dacbn" / name).write_bytes((ROOT / "dacbn" / name).read_bytes())
    for room in ("datasets", "analysis"):
        (tmp_path / "dacbn" / room).write_text(f"../{room}")
        (tmp_path / room).mkdir()
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys; sys.path.insert(0, '.'); import dacbn",
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert run.returncode == 1
    assert "git config core.symlinks true" in run.stderr.splitlines()[-1]
