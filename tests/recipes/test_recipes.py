"""Recipes: each trains, each says what it is, and options beside a recipe override it."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import cli
from dacbn.adapter import DomainAdapter
from dacbn.commands.train import read_defaults, train
from dacbn.datasets import datasets, labelled
from dacbn.recipes import recipes
from dacbn.training import decide

PUBLISHED = [
    "mnist-to-mnist-m-dann",
    "mnist-to-svhn-adamatch",
    "mnist-to-usps-dann",
    "office31-dann-resnet50",
    "svhn-to-mnist-shot",
    "usps-to-mnist-dann",
]
SMALL = {
    "steps": 1,
    "source_batch_size": 2,
    "target_batch_size": 2,
    "log_every": 1,
    "eval_every": 0,
    "device": "cpu",
    "pretrained": False,
}


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Put a few made-up images where recipes look for data."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    domain = labelled(pixels, np.arange(20) % 10)
    for name in ("mnist", "mnist_m", "svhn", "usps"):
        monkeypatch.setitem(datasets._entries, name, lambda *_: domain)
    for number in range(16):
        place = f"data/office31/{['amazon', 'webcam'][number % 2]}/images/{number // 8}"
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(tmp_path / place / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dacbn(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, arguments)])
        cli.main()

    return run


def test_every_published_setting_has_a_small_version():
    assert list(recipes) == sorted([*PUBLISHED, *(f"{name}-small" for name in PUBLISHED)])


@pytest.mark.parametrize("name", list(recipes))
def test_a_step_trains(name, stand_ins):
    config = recipes[name]()
    config.check()
    size = 32 if "office31" in name else None
    config = dataclasses.replace(config, **SMALL, image_size=size)
    adapter = DomainAdapter(**vars(config)).fit(config.source, config.target)
    rows = [row for row in adapter.records if "classification" in row]
    assert len(rows) == 1 and np.isfinite([*rows[-1].values()]).all()
    assert adapter.config == decide(config)


@pytest.mark.parametrize("name", list(recipes))
def test_a_recipe_says_its_command_its_time_and_what_to_expect(name):
    text = recipes[name].__doc__
    assert f"Command: dacbn train {name}" in " ".join(text.split())
    assert "\n    Time: " in text and "\n    Published: " in text
    assert name.endswith("-small") or "\n    Differs from the paper: " in text
    assert recipes.describe(name)["paper"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_small_versions_are_short_and_of_the_same_method(name):
    whole, small = recipes[name](), recipes[f"{name}-small"]()
    assert small.steps <= 2000 and small.steps < whole.steps
    for field in ("source", "target", "norm", "method", "schedule"):
        assert getattr(small, field) == getattr(whole, field)


def test_options_beside_a_recipe_override_it_even_with_a_default(stand_ins, dacbn):
    options = ("--augment", "auto", "--steps", 2, "--source-batch-size", 3, "--device", "cpu")
    dacbn("train", "mnist-to-mnist-m-dann", *options, "--run", "run", "--lr", 0.5)
    found = json.loads((stand_ins / "run" / "config.json").read_text())["training"]
    recipe = recipes["mnist-to-mnist-m-dann"]()
    given = {"augment": "auto", "steps": 2, "source_batch_size": 3, "device": "cpu", "lr": 0.5}
    wanted = decide(dataclasses.replace(recipe, **given)).to_json()
    assert found == json.loads(json.dumps(wanted))


def test_without_a_recipe_the_defaults_are_as_ever():
    command, words = read_defaults(["--steps", "3", "mnist-to-usps-dann"])
    assert command is train and words == ["--steps", "3", "mnist-to-usps-dann"]
    assert read_defaults([]) == (train, [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mnist-to-svhn-adamach", "unknown recipe 'mnist-to-svhn-adamach'. Did you mean 'mnist-to"),
        ("--steps 3 usps-to-mnist-dann", "before all options: dacbn train usps-to-mnist-dann"),
        (
            "usps-to-mnist-dann --resume x",
            "--resume uses the run's own settings: leave out the recipe",
        ),
        ("office31-dann-resnet50 --no-pretrained", "data/office31/amazon/images does not exist"),
        ("svhn-to-mnist-shot --data-root no", "no/svhn/train_32x32.mat is missing"),
    ],
)
def test_a_mistake_is_one_line(words, message, dacbn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        dacbn("train", *words.split())
    errors = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1 and len(errors) == 1 and message in errors[0]


def test_the_list_names_recipes_with_their_papers(dacbn, capsys):
    dacbn("list", "recipes")
    output = capsys.readouterr().out
    assert all(f"  {name} " in output for name in recipes)
    assert "paper: Berthelot et al." in output and "ucb_norm" not in output
