"""The types that editors read are those of the settings."""

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest
from torch import nn

from dacbn import DomainAdapter
from dacbn.saved_adapter import DEFAULT
from dacbn.spec import Spec
from dacbn.training import AdaptationOptions, Role, TrainConfig, TrainingOptions, setting_types

TEXTS = tuple[str, ...]
FIRST = ("backbone", "norm", "method")


def type_for_users(kind):
    """Return the type of a setting, where text does for a `Spec` or `Path`."""
    if get_origin(kind) is UnionType:
        parts = [type_for_users(each) for each in get_args(kind)]
        return parts[0] | parts[1]
    return {Spec: str, Path: str | Path, TEXTS: str | TEXTS}.get(kind, kind)


def expected_types():
    return {
        name: type_for_users(kind)
        for name, kind in get_type_hints(TrainConfig).items()
        if name in [field.name for field in dataclasses.fields(TrainConfig)]
    }


def show(kind):
    return inspect.formatannotation(kind).replace("pathlib.", "")


def test_every_setting_has_its_line_in_one_of_the_types():
    """The message is the line to add or change, and the class to which it belongs."""
    known, kept = get_type_hints(TrainingOptions), TrainConfig.names(Role.KEPT)
    adaptation = AdaptationOptions.__annotations__
    wrong = []
    for name, kind in expected_types().items():
        if name in FIRST:
            continue
        own = name in kept or name == "target"  # a parameter of `adapt`
        owner = "TrainingOptions" if own else "AdaptationOptions"
        if known.get(name) != kind or (name in adaptation) == own:
            wrong.append(f"{owner} of {setting_types.__name__} needs the line {name}: {show(kind)}")
    assert not wrong, wrong
    extra = known.keys() - expected_types().keys() | (known.keys() & set(FIRST))
    assert not extra, f"no settings, or parameters of the constructor: {extra}"


def test_the_signature_shows_every_setting_with_its_default():
    parameters = inspect.signature(DomainAdapter).parameters
    assert {each.name: each.default for each in parameters.values()} == vars(TrainConfig())
    assert tuple(parameters)[:3] == FIRST
    constructor = inspect.signature(DomainAdapter.__init__).parameters
    for name in FIRST:
        given = DEFAULT if name in ("norm", "method") else parameters[name].default
        assert constructor[name].default == given  # of those two, it depends on the weights
        assert constructor[name].kind == parameters[name].kind


def test_every_signature_shows_the_types_that_a_user_may_give():
    types = {**get_type_hints(TrainingOptions), "backbone": str | nn.Module}
    types |= {"norm": str | None, "method": str}
    parameters = inspect.signature(DomainAdapter.__init__).parameters
    for shown in (inspect.signature(DomainAdapter).parameters, parameters):
        assert {n: each.annotation for n, each in shown.items() if n != "self"} == types
    settings = {each.name: each.default for each in parameters.values() if each.name != "self"}
    assert DomainAdapter().get_params() == settings


USE = """
from dacbn import DomainAdapter
DomainAdapter("resnet18", steps=3, lr=None, data_root="data")
DomainAdapter("resnet18", steps="3")
DomainAdapter("resnet18", step=3)
"""


@pytest.mark.slow
def test_a_type_checker_knows_the_settings(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "use.py").write_text(USE)
    command = [sys.executable, "-m", "mypy", "--no-incremental", str(tmp_path / "use.py")]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert re.findall(r"use\.py:(\d)", found) == ["4", "5"], found
