"""Every command and every Python block of the README and the documentation runs as printed.

For time, flags that are added to a command cut trainings to two steps and reports to a few images,
the datasets are small, the figures of reports are made but not drawn, a command that is printed
twice runs once, and those of EXPENSIVE are not run: benchmarks are read, and recipes have tests of
their own.
"""

import functools
import os
import re
import shlex
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from matplotlib.figure import Figure
from PIL import Image

from dacbn import cli
from dacbn.analysis.analyses import analyses
from dacbn.methods import methods
from dacbn.models import resolve_norm
from dacbn.norms import norms
from dacbn.registry import Registry

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DACBN_DATA", ROOT.parent / "shared" / "data"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").glob("*.md"), key=str)]
PAGES.sort(key=lambda page: page.name != "README.md" and page.name != "index.md")  # runs first

FEW = " --steps 2 --source-batch-size 4 --target-batch-size 4 --image-size 32"
CUTS = {
    "dacbn train": FEW,
    "dacbn compare": FEW,
    "dacbn tune": f"{FEW} --trials 2",
    "dacbn adapt": " --steps 2 --target-batch-size 4",
    "dacbn analyse": " --images 50",
}
RUN = "runs/digits-color_digits-dann-ucb_norm-seed0"  # of `dacbn train` alone
EXPENSIVE = ("dacbn benchmark", "dacbn train mnist-to")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def commands() -> list[str]:
    lines = "".join("".join(blocks(page, "bash")) for page in PAGES).splitlines()
    last = [line.rpartition("&& ")[2] for line in lines]
    return list(dict.fromkeys(command for command in last if command.startswith("dacbn ")))


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = " ".join(command.split()[:2])
    cut = "" if "--resume" in command else CUTS.get(start, "")
    for flag in re.findall(r"--[\w-]+", cut):  # an option is given once
        command = re.sub(rf" {flag} \S+", "", command)
    monkeypatch.setattr("sys.argv", shlex.split(command + cut))
    cli.main()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos, the weights and the data that the pages use."""
    place, random = tmp_path_factory.mktemp("workplace"), np.random.default_rng(0)
    objects = [
        "amazon/bike",
        "amazon/mug",
        "webcam/bike",
        "webcam/mug",
        "street/bike",
        "street/cup",
    ]
    for number, folder in enumerate([*objects, "new"]):
        path = place / "photos" / folder
        path.mkdir(parents=True)
        for index in range(6):
            pixels = random.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"{index}.png")
    rows = [
        f"{file.relative_to(place)}\t{file.parts[-2]}\t{file.parts[-3]}\n"
        for camera in ("amazon", "webcam")
        for file in sorted(place.glob(f"photos/{camera}/*/*.png"))
    ]
    (place / "photos.tsv").write_text("".join(["file\tobject\tcamera\n", *rows]))
    (place / "photos" / "few.txt").write_text("webcam/bike/0.png bike\nwebcam/mug/1.png mug\n")
    (place / "weights").mkdir()
    state = timm.create_model("resnet18").state_dict()
    torch.save({"state_dict": state}, place / "weights" / "resnet18.pth")
    if DATA.exists():
        (place / "data").symlink_to(DATA)
    return place


@pytest.fixture
def small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figure of a report, and others small and without a layout: they take most time."""
    save = Figure.savefig
    blank = BytesIO()
    Image.new("RGB", (4, 4)).save(blank, "png")
    stand_in = blank.getvalue(), b"<svg/>"
    monkeypatch.setattr("dacbn.analysis.presentation.style.draw", lambda *_: stand_in)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # another process would draw them

    def save_small(figure: Figure, file: Path | BytesIO, **options: object) -> None:
        figure.set_layout_engine("none")
        if isinstance(file, BytesIO) and options.get("format") == "svg":
            file.write(b"<svg/>")
        else:
            save(figure, file, **{**options, "dpi": 20})

    monkeypatch.setattr(Figure, "savefig", save_small)


@pytest.mark.usefixtures("small_figures", "few_digits")
@pytest.mark.filterwarnings("ignore:.*not the published file", "ignore:statistics estimated on 6")
@pytest.mark.filterwarnings("ignore:test-time adaptation has 6 images")
def test_every_command_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    assert len(commands()) >= 20
    for command in commands():
        if command.startswith(EXPENSIVE) or ("--data-root data" in command and not DATA.exists()):
            continue
        if command.startswith("dacbn export") and not find_spec("onnxruntime"):
            continue
        if command.startswith("dacbn tune") and not find_spec("optuna"):
            continue
        if ".parquet" in command and not find_spec("pyarrow"):
            continue
        run(command, monkeypatch)
    assert (workplace / "labels.csv").read_text().count("\n") == 7
    assert list(workplace.glob("runs/*/figures/curves.png"))


def test_expensive_benchmarks_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name, command in list(cli.COMMANDS.items()):
        stand_in = functools.wraps(command)(lambda name=name, **_: called.append(name))
        monkeypatch.setitem(cli.COMMANDS, name, stand_in)
    expensive = [command for command in commands() if command.startswith("dacbn benchmark")]
    for command in expensive:
        run(command, monkeypatch)
    assert called == ["benchmark"] * len(expensive) != []


def registries() -> list[Registry[Any]]:
    return [norms, methods, analyses]


@pytest.mark.usefixtures("small_figures", "few_digits")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_snippet_runs(page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.stem == "hubs":
        pytest.importorskip("datasets", reason="needs pip install 'dacbn[hf]'")
    if page.stem == "export":
        pytest.importorskip("onnxruntime", reason="needs pip install 'dacbn[onnx]'")
    if page.stem == "tune":
        pytest.importorskip("optuna", reason="needs pip install 'dacbn[tune]'")
    monkeypatch.chdir(workplace)
    for registry in registries():  # a snippet may register what other tests must not see
        monkeypatch.setattr(registry, "_entries", {name: registry[name] for name in registry})
    names: dict[str, object] = {}
    for snippet in blocks(page, "python"):
        if f'"{RUN}"' in snippet and not (workplace / RUN).exists():
            run("dacbn train", monkeypatch)  # as the pages tell to do before
        exec(re.sub(r"\bsteps=\d+", "steps=2, image_size=32", snippet), names)
    if page.name == "README.md":
        assert np.shape(names["features"]) == (6, 512)


def test_every_specification_in_the_text_means_something() -> None:
    text = "".join(page.read_text() for page in PAGES)
    specs = re.findall(r'--norm "([^"]+)"', text)
    assert len(specs) >= 3
    for spec in specs:
        resolve_norm(spec)
