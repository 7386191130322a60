"""A person who types wrong things gets one line that says what to type instead."""

import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli

ALL_COMMANDS = "train, adapt, evaluate, predict, export, analyse, compare, tune, benchmark, list"
LONG = "x" * 300
FAST = "--steps 2 --source-batch-size 4 --target-batch-size 4 --device cpu --log-every 1"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make a folder to type in: domains that do not fit each other, a file, and one good run."""
    root = tmp_path_factory.mktemp("place")
    for name in ("two/a", "two/b", "three/a", "three/b", "three/c", "one/a", "flat"):
        (root / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((9, 9), 60 * number, np.uint8)).save(
                root / name / f"{number}.png"
            )
    (root / "cut" / "a").mkdir(parents=True)
    (root / "cut" / "a" / "1.png").write_bytes((root / "flat" / "1.png").read_bytes()[:40])
    (root / "empty").mkdir()
    (root / "file").write_text("no image")
    (root / "torn").mkdir()
    (root / "torn" / "config.json").write_text('{"classes": [')
    (root / "torn" / "model.safetensors").touch()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(root)
        monkeypatch.setattr(sys, "argv", ["dacbn", "train", "--run", "good", *FAST.split()])
        cli.main()
    return root


@pytest.fixture
def type_in(place, monkeypatch, capsys):
    """Type a line; returns the exit status and what is on stderr."""

    def run(line):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["dacbn", *line.split()])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, capsys.readouterr().err

    return run


MISTAKES = {
    "train --norm ucb_nrom": "unknown norm 'ucb_nrom'. Did you mean 'ucb_norm'?",
    "train --norm ucb_norm(clusters=3)": "ucb_norm has no option 'clusters', only num_clusters",
    "train --norm ucb_norm(": "cannot read 'ucb_norm(': write a name, or a name with options as in",
    "train --norm ucb_norm(num_clusters=0)": "num_clusters of ucb_norm must be at least 1, got 0",
    "train --method dannn": "unknown method 'dannn'. Did you mean 'dann'?",
    "train --method dann(wieght=1)": "dann has no option 'wieght', only weight",
    "train --method dann(weight='a')": "weight of dann must be a number, got 'a'",
    "train --norm ucb_norm(eps='x')": "eps of ucb_norm must be a number, got 'x'",
    "train --method dann(head=5)": "head of dann must be a tuple such as (64, 64), got 5",
    "train --method cdan(entropy='x')": "entropy of cdan must be True or False, got 'x'",
    "train --backbone resnet1": "unknown backbone 'resnet1'. Nearest: resnet18",
    "train --backbone vit_tiny_patch16_224": "no BatchNorm to replace",
    "train --norm-sites layer9": "no normaliser is named like 'layer9'",
    "train --source digit": "unknown dataset 'digit'. Did you mean 'digits'?",
    "train --target no/where": "no/where does not exist: give the path of a folder of images",
    "train --target empty": "empty holds no images: add some (.jpg,",
    "train --target cut": "cut holds no readable images",
    "train --source flat": "flat is a flat folder of images: make one sub-folder per class",
    "train --source one": "one has only one class, 'a': add another folder",
    "train --source two --target three": "the target has classes that the source lacks: ['c']",
    "train --source two --target cut --on-unreadable raise": "unreadable: cut/a/1.png (no image",
    "train --source mnist": "data/MNIST/raw/train-images-idx3-ubyte.gz is missing: place it there",
    "train --source svhn": "data/svhn/train_32x32.mat is missing: place it there from http",
    "train --source mnist_m": "place photographs (such as BSDS500) in data/mnist_m/textures",
    "train --image-size 8": "set --image-size 16, or choose another --backbone",
    "train --backbone resnet18.nothing": "has no weights tagged 'nothing': choose from a1_in1k",
    "train --clip-norm 0": "--clip-norm must be positive and finite, got 0.0",
    "train --norm ucb_norm(num_clusters=500)": "exceeds the 8 images of a batch: lower it",
    "train --steps 0": "--steps must be at least 1, got 0",
    "train --device gpu": "cannot use device 'gpu' on this machine",
    "train --pretrained": "digits_cnn has no pretrained weights: train from scratch",
    "train --weights no.pth": "there is no file of weights no.pth: give a .safetensors or .pth",
    "train --weights file": "cannot read weights from file",
    "train --weights empty": "the folder empty has no model.safetensors or pytorch_model.bin",
    "train --weights file --pretrained": "weights and pretrained both say what to start from",
    "train --backbone local-dir:x": "give its name as backbone, and local-dir:x as weights",
    "train --run good": "good holds a run: continue it with --resume good, or choose another --out",
    "train --run file": "cannot write file/.lock: file is no folder",
    "train --resume nowhere": "nowhere is no run folder: it has no config.json",
    "train --resume good --steps 9 --lr 1": "the run's own settings: leave out --lr",
    "train --resume good --steps 1": "--steps must be above the ",
    "train --resume good --steps 0": "--steps must be above the ",
    "train --resume good --method dann": "the run's own settings: leave out --method",
    "train --resume good --weights x": "the run's own settings: leave out --weights",
    "train --run .": "a run needs a folder of its own, not the current one",
    "train --resume good --run other": "--resume uses the run's own settings: leave out --run",
    "train --method shot": "shot adapts a trained network, without its source: use dacbn adapt RUN",
    "adapt nowhere": "nowhere is no run folder: it has no config.json",
    "adapt good --target no/where": "no/where does not exist: give the path of a folder of images",
    "adapt good --target two": "classes that the source lacks: ['a', 'b']",
    "adapt good --method dann": "unknown source-free method 'dann'. Known: shot.",
    "adapt good --method shot(": "cannot read 'shot(': write a name, or a name with options as in",
    "adapt good --method shot(wieght=1)": "shot has no option 'wieght', only weight, rounds",
    "adapt good --method shot(rounds=0)": "rounds of shot must be at least 1, got 0",
    "adapt good --output good": "good holds a run: continue it with dacbn train --resume good",
    "adapt good --steps 0": "--steps must be at least 1, got 0",
    "predict good flat --adapt tnt": "unknown test-time method 'tnt'. Did you mean 'tent'?",
    "predict good flat --adapt tent(rate=1)": "tent has no option 'rate', only lr",
    "predict good flat --adapt tent(lr=1e400)": "lr of tent must be a finite number, got inf",
    "evaluate empty": "empty is no run folder: it has no config.json. Give a folder that",
    "evaluate file": "file is no run folder",
    "evaluate good --target digts": "unknown dataset 'digts'. Did you mean 'digits'?",
    "evaluate good --target two": "classes that the source lacks: ['a', 'b']",
    "evaluate good --target svhn --data-root moved": "moved/svhn/test_32x32.mat is missing",
    "predict nowhere flat": "nowhere is no run folder",
    "predict good": "give image files, or folders of them, to predict",
    "predict good nofile.png": "nofile.png does not exist: give image files or folders of them",
    "predict good empty": "empty holds no images",
    "predict good file": "none of 1 images can be read: file: no image format that Pillow reads",
    "predict good flat --output file/labels.csv": "cannot write file/labels.csv: file is no folder",
    f"predict good {LONG}": "is too long: a name between two slashes has at most 255 bytes",
    f"adapt good --output {LONG}": "is too long: a name between two slashes has at most 255",
    f"train --run {LONG}": "is too long: a name between two slashes has at most 255 bytes",
    "predict good flat --output .": "--output needs a file to write, and . is a folder",
    "analyse good --images 0": "--images must be at least 1, got 0",
    "analyse good --seed 4294967296": "--seed must be from 0 to 2**32 - 1, got 4294967296",
    "compare --output c --seeds 0": "--seeds must be at least 1, got 0",
    "benchmark layers --threads -1": "--threads must be at least 1, or 0 for all cores, got -1",
    "benchmark layers --rounds 0": "--rounds must be at least 1, got 0",
    "benchmark waiting --files 0": "--files must be at least 1, got 0",
    "benchmark layers --output flat": "--output needs a file to write, and flat is a folder",
    "evaluate torn": "copy config.json from a run with the same settings and classes",
    "analyse empty": "empty is no run folder: it has no config.json. Give a folder that",
}


@pytest.mark.filterwarnings("ignore:.*unreadable")
@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_status_one(type_in, line):
    is_training = line.startswith("train") and "--resume" not in line and "--steps" not in line
    fast = FAST.replace("--device cpu", "") if "--device" in line else FAST  # each option once
    code, errors = type_in(f"train {fast} {line[6:]}" if is_training else line)
    lines = [text for text in errors.splitlines() if not text.startswith("dacbn: warning")]
    assert code == 1 and len(lines) == 1, errors
    assert lines[0].startswith("dacbn: ") and MISTAKES[line] in lines[0]
    assert "Traceback" not in errors


def test_a_specification_without_end_is_one_short_line(type_in):
    code, errors = type_in(f"train --norm {'+'.join(['ucb_norm'] * 20_000)}")
    assert code == 1 and "Traceback" not in errors and len(errors) < 200
    assert errors.endswith("…: it is too long or nested too deeply\n")


def test_a_wrong_name_leaves_no_folder(type_in, place):
    for line in ("--norm ucb", "--method dannn", "--backbone resnet1", "--target no/where"):
        assert type_in(f"train --run fresh {line}")[0] == 1
        assert not (place / "fresh").exists()


def test_a_training_that_diverges_says_what_to_change(type_in):
    code, errors = type_in(f"train --run wild --lr 1e30 {FAST}")
    assert code == 1 and "Traceback" not in errors
    assert errors.splitlines()[-1] == (
        "dacbn: the classification loss became nan at step 2; lower --lr, set --clip-norm 1, or "
        "lower the weight in --method."
    )


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("", ALL_COMMANDS),
        ("bench", ALL_COMMANDS),
        ("train --stepz 3", "--steps"),
        ("train --steps ten", "--steps"),
        ("train --optimizer adam", "'adamw', 'sgd'"),
        ("evaluate", "a run folder"),
        ("list norm", "'norms'"),
    ],
)
def test_a_command_that_cannot_be_parsed_shows_what_can(type_in, line, hint):
    code, errors = type_in(line)
    text = " ".join(errors.replace("│", " ").split())
    assert code == 2 and hint in text and "Traceback" not in errors


def test_a_developer_can_have_the_traceback(type_in, monkeypatch):
    monkeypatch.setenv("DACBN_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["dacbn", "evaluate", "nowhere"])
    with pytest.raises(ValueError, match="is no run folder"):
        cli.main()


def test_an_interrupted_command_exits_as_shells_expect(type_in, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(DomainAdapter, "from_pretrained", interrupt)
    assert type_in("evaluate good") == (130, "")
