"""Messages name options to those who type commands, and arguments to those who write Python."""

import ast
import dataclasses
import inspect
import re
import sys
from pathlib import Path

import pytest

from dacbn import DomainAdapter, cli
from dacbn.spelling import as_argument, as_option, renamed, spell, spelling, to_words
from dacbn.training import TrainConfig

ROOT = Path(__file__).parents[1]
FILES = {
    f.resolve() for room in ("dacbn", "datasets", "analysis") for f in (ROOT / room).rglob("*.py")
}
OF_COMMANDS = {"commands", "cli.py", "waiting"}  # the last runs commands
SHARED = sorted(file for file in FILES if not OF_COMMANDS & set(file.parts))
FIELDS = {field.name for field in dataclasses.fields(TrainConfig)}
NAMES = FIELDS.union(*(inspect.signature(command).parameters for command in cli.COMMANDS.values()))
OPTIONS = {f"--{name.replace('_', '-')}" for name in NAMES} | {f"--no-{name}" for name in FIELDS}


@pytest.mark.parametrize(
    ("name", "value", "argument", "option"),
    [
        ("norm_replaces", "layer_norm", "norm_replaces='layer_norm'", "--norm-replaces layer_norm"),
        ("lr", None, "lr", "--lr"),
        ("clip_norm", 1, "clip_norm=1", "--clip-norm 1"),
        ("download", True, "download=True", "--download"),
        ("compile", False, "compile=False", "--no-compile"),
        ("classifier", (64, 32), "classifier=(64, 32)", "--classifier 64 32"),
        ("norm", "a(b='c')", "norm=\"a(b='c')\"", "--norm \"a(b='c')\""),
    ],
)
def test_each_door_has_its_spelling(name, value, argument, option):
    assert spell(name, value) == as_argument(name, value) == argument
    with spelling(as_option):
        assert spell(name, value) == option
    assert spell(name, value) == argument


def test_an_argument_is_spelled_as_the_setting_that_it_comes_from():
    with spelling(as_option), renamed(sites="norm_sites"):
        assert (spell("sites", "first"), spell("lr")) == ("--norm-sites first", "--lr")
    assert spell("sites", "first") == "sites='first'"


def texts(path):
    """Yield the strings of a file that are no docstrings, with {} for what is formatted."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {
        id(part) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for part in ast.walk(n)
    } - {id(n) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr)}
    for node in ast.walk(tree):
        if id(node) in alone | parts:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(
    "path",
    SHARED,
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_what_both_doors_share_spells_no_setting_itself(path):
    """A whole command, "dacbn train --resume RUN", a call, and "lr=log(" are the same for both."""
    for text in texts(path):
        spelled = re.sub(r"dacbn \w+ [^,;:]*|\w+=\w+\(|\w\([^()]*\)", "", text)
        options = {word for word in re.findall(r"--[a-z][a-z-]*", spelled) if word in OPTIONS}
        arguments = {word for word in re.findall(r"\b(\w+)=['\"\w]", spelled) if word in FIELDS}
        assert not options | arguments, text


SMALL = {"steps": 2, "source_batch_size": 4, "target_batch_size": 4, "device": "cpu"}
MISTAKES = [
    ({"steps": 0}, "steps", " must be at least 1, got 0"),
    ({"backbone": "vit_tiny_patch16_224"}, "norm_replaces", "layer_norm"),
    ({"backbone": "resnet18", "norm_replaces": "layer_norm"}, "norm_replaces", "batch_norm"),
    ({"norm": "ucb_norm(num_clusters=9)"}, "source_batch_size", "raise"),
    ({"lr": 1e30}, "clip_norm", "lower"),
    ({"weight_decay": 1e30}, "weight_decay", "a step multiplies weights by -1e+27"),
    ({"source": "svhn", "data_root": "nowhere"}, "download", "place it there"),
    ({"image_size": 100_000}, "source_batch_size", "at least 960.0 GB are needed"),
    ({"source_batch_size": 10**9}, "source_batch_size", "at least 12,288.0 GB are needed"),
    ({"classifier": (10**11,)}, "classifier", "at least 484,000.0 GB are needed"),
    ({"image_size": 1}, "image_size", "cannot take images of 1 pixels per side"),
    ({"norm": "self_normalizing", "norm_sites": "first"}, "norm_sites", "all"),
]


@pytest.mark.parametrize(("settings", "name", "word"), MISTAKES)
def test_a_mistake_is_told_in_the_words_of_its_door(
    settings, name, word, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    settings = {**SMALL, **settings}
    config = TrainConfig(**settings)
    with pytest.raises((ValueError, OSError, RuntimeError)) as caught:
        DomainAdapter(**settings).fit(config.source, config.target)
    in_python = str(caught.value)
    words = [word for key, value in settings.items() for word in to_words(key, value)]
    monkeypatch.setattr(sys, "argv", ["dacbn", "train", *words])
    with pytest.raises(SystemExit):
        cli.main()
    typed = capsys.readouterr().err.splitlines()[-1]
    assert word in in_python and word in typed
    assert re.search(rf"\b{name}\b", in_python) and "--" not in in_python
    assert as_option(name) in typed
    assert not re.search(rf"(?<!-)\b({'|'.join(n for n in FIELDS if '_' in n)})\b", typed)
    assert set(re.findall(r"--[a-z][a-z-]*", typed)) <= OPTIONS
