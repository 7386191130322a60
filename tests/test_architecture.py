"""The architecture: which room may import which. Changing it means editing this table."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Rooms of the package that stand beside it; dacbn/datasets and dacbn/analysis are links to them.
BESIDE = {"datasets": ROOT / "datasets", "analysis": ROOT / "analysis"}

# A room, and the rooms of this package that its files may import besides their own.
MAY_IMPORT = {
    "plain_text": set(),
    "log_between_bars": set(),
    "progress": {"log_between_bars", "processes"},
    "printed_log": {"plain_text", "progress"},
    "limits": set(),
    "spec": {"limits"},
    "registry": {"spec", "limits"},
    "spelling": set(),
    "memory": set(),
    "checkout": set(),
    "connection": set(),
    "batch": set(),
    "processes": set(),
    "losses": set(),
    "intervals": set(),
    "estimates": {"registry", "limits", "spec", "spelling", "label_shift", "intervals"},
    "label_shift": {"registry", "limits", "spec", "spelling"},
    "norms": {"registry", "limits", "batch", "processes"},
    "models": {
        "spec",
        "registry",
        "spelling",
        "memory",
        "batch",
        "norms",
        "connection",
        "processes",
    },
    "methods": {"registry", "limits", "batch", "norms", "models", "losses", "processes"},
    "datasets": {
        "registry",
        "spelling",
        "memory",
        "batch",
        "progress",
        "checkout",
        "connection",
        "processes",
    },
}
BUILDING_BLOCKS = {
    "spec",
    "limits",
    "registry",
    "spelling",
    "memory",
    "batch",
    "norms",
    "processes",
}
BUILDING_BLOCKS |= {"models", "losses", "methods", "datasets", "label_shift"}
BUILDING_BLOCKS |= {"estimates", "intervals"}
MAY_IMPORT["analysis"] = BUILDING_BLOCKS - {"spec", "limits"} | {"training"}
MAY_IMPORT["analysis"] |= {"plain_text", "progress", "streams"}
MAY_IMPORT["training"] = BUILDING_BLOCKS | {"progress"}
MAY_IMPORT["recipes"] = BUILDING_BLOCKS | {"training"}
MAY_IMPORT["benchmarks"] = BUILDING_BLOCKS | {"training", "progress", "export", "streams"}
MAY_IMPORT["answers"] = {"datasets"}
MAY_IMPORT["prediction_frame"] = {"answers"}
MAY_IMPORT["scikit_learn"] = {"datasets", "training", "answers", "prediction_frame"}
MAY_IMPORT["classifier"] = BUILDING_BLOCKS | {"training", "answers", "scikit_learn"}
MAY_IMPORT["saved_adapter"] = BUILDING_BLOCKS | {"training", "classifier"}
MAY_IMPORT["export"] = BUILDING_BLOCKS | {"training", "classifier", "saved_adapter"}
MAY_IMPORT["exportable_adapter"] = {"saved_adapter", "export"}
MAY_IMPORT["streams"] = BUILDING_BLOCKS | {"training", "answers"}
MAY_IMPORT["streaming_adapter"] = {"batch", "datasets", "methods", "training"}
MAY_IMPORT["streaming_adapter"] |= {"exportable_adapter", "streams"}
MAY_IMPORT["given_domains"] = {"datasets", "training", "spelling"}
MAY_IMPORT["adapter"] = BUILDING_BLOCKS | {"training", "recipes", "classifier"}
MAY_IMPORT["adapter"] |= {"streaming_adapter", "given_domains"}
MAY_IMPORT["comparison"] = BUILDING_BLOCKS | {"training", "adapter", "benchmarks", "progress"}
MAY_IMPORT["tuning"] = BUILDING_BLOCKS | {"training", "adapter", "comparison", "progress"}
MAY_IMPORT["commands"] = BUILDING_BLOCKS | {
    "training",
    "recipes",
    "adapter",
    "export",
    "analysis",
    "benchmarks",
    "comparison",
    "tuning",
    "plain_text",
    "progress",
    "streams",
}
MAY_IMPORT["cli"] = {
    "commands",
    "spec",
    "spelling",
    "training",
    "plain_text",
    "printed_log",
    "processes",
}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["__init__"] = BUILDING_BLOCKS | {"checkout", "training", "recipes", "adapter"}
SEE_THE_WHOLE_PACKAGE = {"__init__", "cli", "commands", "adapter"}

STANDARD = {"collections", "contextlib", "dataclasses", "enum", "functools", "inspect", "math"}
STANDARD |= {"copy", "fnmatch", "typing"}
# What compiles, calls and chooses kernels may use more of the standard library, and Triton.
FOR_KERNELS = {"ctypes", "functools", "hashlib", "os", "pathlib", "platform", "shutil"}
FOR_KERNELS |= {"subprocess", "tempfile", "triton"}

FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "core", "manager"}


def python_files(folder):
    """List the Python files under a folder, those behind links left out."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            found += python_files(path)
        elif path.suffix == ".py":
            found.append(path)
    return found


def source_files():
    """Map every source file of the package to its room."""
    package = ROOT / "dacbn"
    rooms = {
        path: path.relative_to(package).parts[0].removesuffix(".py")
        for path in python_files(package)
    }
    for room, folder in BESIDE.items():
        rooms |= dict.fromkeys(python_files(folder), room)
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


def test_rooms_import_only_what_the_table_allows():
    wrong = []
    for path, room in FILES.items():
        assert room in MAY_IMPORT, f"{room} is a new room: give it a line in the table"
        own = [name.split(".") for name in imports_of(path)[0] if name.split(".")[0] == "dacbn"]
        rooms = {parts[1] if len(parts) > 1 else "__init__" for parts in own}
        if "__init__" in rooms and room not in SEE_THE_WHOLE_PACKAGE:
            wrong.append(f"{label(path)} imports the whole package")
        # `from dacbn import __version__` and the like name no room
        known = {name for name in rooms if name in MAY_IMPORT and name != "__init__"}
        wrong += [f"{label(path)} imports {name}" for name in known - MAY_IMPORT[room] - {room}]
    assert wrong == []


def test_imports_are_absolute():
    assert [label(path) for path in FILES if imports_of(path)[1]] == []


def test_norms_know_torch_and_nothing_built_on_it():
    wrong = []
    for path in (path for path, room in FILES.items() if room == "norms"):
        known = {"torch", "dacbn", *STANDARD}
        if path.parent.name == "kernels":
            known |= FOR_KERNELS
        if path.name == "__init__.py":
            known.add("lazy_loader")
        unknown = {name.split(".")[0] for name in imports_of(path)[0]} - known
        wrong += [f"{label(path)} imports {name}" for name in unknown]
    assert wrong == []


def test_files_are_short_and_named_for_what_they_hold():
    tests = python_files(ROOT / "tests")
    files = [*FILES, *tests]
    assert [label(path) for path in files if len(path.read_text().splitlines()) > 300] == []
    assert [label(p) for p in FILES if FORBIDDEN_NAMES & {p.stem, *p.relative_to(ROOT).parts}] == []
    names = [path.name for path in tests if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))  # pytest and mypy want names of their own


def test_every_folder_with_source_is_a_package_and_no_folder_with_tests():
    folders = {path.parent for path in FILES}
    assert [label(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
    assert [label(path) for path in python_files(ROOT / "tests") if path.stem == "__init__"] == []
