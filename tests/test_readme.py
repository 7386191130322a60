"""Every command and snippet of the README runs as printed.

Trainings are cut to two steps on small images, for time; the slow test trains as printed.
"""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dacbn import TrainConfig
from dacbn.cli import main
from dacbn.datasets import datasets
from dacbn.methods import methods
from dacbn.models import resolve_norm
from dacbn.norms import norms, weights

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DATA = Path(os.environ.get("DACBN_DATA", ROOT.parent / "shared" / "data"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks("bash")).splitlines()
    last = [line.rpartition("&& ")[2] for line in lines]
    return [command for command in last if command.startswith("dacbn ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photos and the data that the README speaks of."""
    random = np.random.default_rng(0)
    for number, folder in enumerate(
        ["amazon/bike", "amazon/mug", "webcam/bike", "webcam/mug", "new"]
    ):
        path = tmp_path / "photos" / folder
        path.mkdir(parents=True)
        for index in range(6):
            pixels = random.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"{index}.png")
    if DATA.exists():
        (tmp_path / "data").symlink_to(DATA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut every training to two steps of a few small images."""
    check = TrainConfig.check

    def cut(config: TrainConfig) -> None:
        small = {"steps": 2, "source_batch_size": 4, "target_batch_size": 4, "image_size": 32}
        for name, value in small.items():
            object.__setattr__(config, name, value)
        check(config)

    monkeypatch.setattr(TrainConfig, "check", cut)


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", shlex.split(command))
    main()


@pytest.mark.usefixtures("short_trainings")
@pytest.mark.filterwarnings("ignore:.*not the published file")
def test_every_command_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(commands()) >= 7
    for command in commands():
        if "--data-root data" in command and not DATA.exists():
            continue
        run(command, monkeypatch)
    assert (workplace / "labels.csv").read_text().count("\n") == 7
    assert list(workplace.glob("runs/*/figures/curves.png"))


@pytest.mark.usefixtures("short_trainings")
def test_every_snippet_runs(workplace: Path) -> None:
    names: dict[str, object] = {}
    for snippet in blocks("python"):
        exec(snippet, names)
    assert np.shape(names["features"]) == (6, 512)


def test_the_tables_name_everything_registered() -> None:
    for registry in (norms, weights, methods, datasets):
        assert [name for name in registry if not re.search(rf"\b{name}\b", README)] == []


def test_every_specification_in_the_text_means_something() -> None:
    specs = re.findall(r'--norm "([^"]+)"', README)
    assert len(specs) >= 3
    for spec in specs:
        resolve_norm(spec)


def test_both_setups_are_one_line() -> None:
    setups = [line for line in "".join(blocks("bash")).splitlines() if "venv" in line]
    assert len(setups) == 2
    assert all(line.startswith("python3 -m venv .venv && ") for line in setups)


@pytest.mark.slow
def test_the_default_run_adapts(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("dacbn train", monkeypatch)
    last = (next(workplace.glob("runs/*/metrics.jsonl"))).read_text().splitlines()[-1]
    accuracy = re.search(r'"target_test_accuracy": ([\d.]+)', last)
    assert accuracy is not None and float(accuracy[1]) > 0.7
