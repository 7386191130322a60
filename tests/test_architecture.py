"""The architecture: which room may import which. Changing it means editing this table."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Rooms of the package that stand beside it.
BESIDE = {"datasets": ROOT / "datasets", "analysis": ROOT / "analysis"}

# A room, and the rooms of this package that its files may import besides their own.
MAY_IMPORT = {
    "registry": set(),
    "batch": set(),
    "losses": set(),
    "norms": {"registry", "batch"},
    "models": {"registry", "batch", "norms"},
    "methods": {"registry", "batch", "norms", "models", "losses"},
    "datasets": {"registry", "batch"},
    "training": {"registry", "batch", "norms", "models", "losses", "methods", "datasets"},
    "analysis": {"registry", "batch", "norms", "models", "datasets", "training"},
}
BUILDING_BLOCKS = {"registry", "batch", "norms", "models", "losses", "methods", "datasets"}
MAY_IMPORT["recipes"] = BUILDING_BLOCKS | {"training"}
MAY_IMPORT["benchmarks"] = BUILDING_BLOCKS | {"training"}
MAY_IMPORT["classifier"] = BUILDING_BLOCKS | {"training"}
MAY_IMPORT["adapter"] = BUILDING_BLOCKS | {"training", "recipes", "classifier"}
MAY_IMPORT["comparison"] = BUILDING_BLOCKS | {"training", "adapter", "benchmarks"}
MAY_IMPORT["commands"] = BUILDING_BLOCKS | {
    "training",
    "recipes",
    "adapter",
    "analysis",
    "benchmarks",
    "comparison",
}
MAY_IMPORT["cli"] = {"commands"}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["__init__"] = BUILDING_BLOCKS | {"training", "recipes", "adapter"}

FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "core", "manager"}


def source_files():
    """Map every source file of the package to its room."""
    rooms = {}
    for path in (ROOT / "dacbn").rglob("*.py"):
        parts = path.relative_to(ROOT / "dacbn").parts
        rooms[path] = parts[0].removesuffix(".py")
    for room, folder in BESIDE.items():
        rooms |= dict.fromkeys(folder.rglob("*.py"), room)
    return rooms


FILES = source_files()


def imports_of(path):
    """Return the dotted names that a file imports, and whether any is relative."""
    names, relative = [], False
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            relative |= node.level > 0
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names, relative


def label(path):
    return str(path.relative_to(ROOT))


each_file = pytest.mark.parametrize("path", sorted(FILES), ids=label)


@each_file
def test_rooms_import_only_what_the_table_allows(path):
    room = FILES[path]
    assert room in MAY_IMPORT, f"{room} is a new room: give it a line in the table"
    own = [name.split(".") for name in imports_of(path)[0] if name.split(".")[0] == "dacbn"]
    rooms = {parts[1] if len(parts) > 1 else "__init__" for parts in own}
    if room not in ("__init__", "cli", "commands", "adapter"):
        assert "__init__" not in rooms, f"{label(path)} imports the whole package"
    # `from dacbn import __version__` and the like name no room
    known = {name for name in rooms if name in MAY_IMPORT and name != "__init__"}
    assert known <= MAY_IMPORT[room] | {room}


@each_file
def test_imports_are_absolute(path):
    assert not imports_of(path)[1]


@each_file
def test_files_are_short_and_named_for_what_they_hold(path):
    assert len(path.read_text().splitlines()) <= 300
    assert not FORBIDDEN_NAMES & {path.stem, *path.relative_to(ROOT).parent.parts}


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=label)
def test_test_files_are_short_too_and_no_packages(path):
    assert len(path.read_text().splitlines()) <= 300
    assert path.name != "__init__.py"


def test_test_files_have_names_of_their_own():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", [p for p in sorted(FILES) if FILES[p] == "norms"], ids=label)
def test_norms_know_torch_and_nothing_built_on_it(path):
    known = {"torch", "dacbn", "collections", "contextlib", "inspect", "math", "typing"}
    if path.stem.startswith(("triton_", "mixture_kernels")):  # imported where there is a GPU
        known |= {"triton"}
    if path.stem in ("compile_c", "fused_mixture", "mixture_kernels"):  # compile, call and choose
        known |= {"ctypes", "functools", "hashlib", "os", "pathlib", "platform", "shutil"}
        known |= {"subprocess", "tempfile"}
    assert {name.split(".")[0] for name in imports_of(path)[0]} <= known


def test_the_two_rooms_beside_the_package_are_flat():
    for folder in BESIDE.values():
        inner = [path for path in folder.rglob("*.py") if path.parent != folder]
        assert not inner


def test_python_started_in_a_checkout_finds_the_rooms_beside_the_package():
    """It finds the checkout's folder before the installed package, which may not be editable."""
    code = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
import dacbn.analysis, dacbn.datasets
print(dacbn.analysis.__file__, dacbn.datasets.__file__, sep="\\n")
"""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {Path(line).parent for line in run.stdout.splitlines()} == set(BESIDE.values())


def test_every_package_on_disk_is_shipped():
    """One missing from the list works in an editable install and is absent from the wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "dacbn").rglob("__init__.py")
    }
    on_disk |= {
        f"dacbn.{room}" for room, folder in BESIDE.items() if (folder / "__init__.py").exists()
    }
    assert set(settings["packages"]) == on_disk
    for room in BESIDE:
        assert settings["package-dir"][f"dacbn.{room}"] == room


def test_every_folder_with_python_files_is_a_package():
    folders = {path.parent for path in FILES}
    assert [label(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_type_checkers_map_points_at_the_rooms_beside_the_package():
    mapped = ROOT / ".typing" / "dacbn"
    assert (mapped / "__init__.py").read_text() == ""
    links = {path.name: path for path in mapped.iterdir() if path.is_symlink()}
    assert links.keys() == BESIDE.keys()
    for room, link in links.items():
        assert link.resolve() == BESIDE[room]
        assert not link.readlink().is_absolute()
