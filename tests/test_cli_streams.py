"""Training on shards that a server has, from the command line; killed at any step, and resumed."""

import functools
import http.server
import json
import shutil
import sys
import threading

import numpy as np
import pytest
from killed import run_killed
from written_shards import noise, write_shards

from dacbn import cli

pytest.importorskip("webdataset", reason="needs pip install 'dacbn[webdataset]'")
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="webdataset needs curl")

FAST = "--steps 6 --source-batch-size 6 --target-batch-size 5 --device cpu --image-size 32"
FAST += " --log-every 1 --eval-every 3 --checkpoint-every 1"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make a folder of photographs, with shards of two more domains beside it."""
    root, random = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    for name in ("a", "b"):
        images = [noise(random, (60, 190)[n % 2]) for n in range(20)]
        write_shards(root / name, name, images, ("mug", "bike"))
    for name, mean in (("mug", 60), ("bike", 190)):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(10):
            (root / "photos" / name / f"{number}.png").write_bytes(noise(random, mean))
    return root


@pytest.fixture(scope="module")
def server(place):
    handler = functools.partial(Quiet, directory=place)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.fixture(scope="module")
def words(server):
    """Words of a training on two streams and two folders."""
    a, b = (f"{server}/{name}/{name}-{{0..1}}.tar" for name in "ab")
    return f"train --source {a} photos --target photos {b} {FAST}".split()


@pytest.fixture
def type_in(place, monkeypatch, capsys):
    """Type words; returns what is printed, on stdout and stderr together."""

    def run(*words):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, words)])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as stop:
            assert stop.code == 1
        return "".join(capsys.readouterr())

    return run


def left_in(run):
    """Read what a training left, except its speed."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return (
        (run / "model.safetensors").read_bytes(),
        json.loads((run / "config.json").read_text())["training"],
        [{**row, "steps_per_second": 0} for row in rows],
    )


@pytest.fixture(scope="module")
def whole(place, words):
    """What a training leaves that nobody kills, and its number of moments."""
    code, moments = run_killed(place, [*words, "--run", "whole"])
    assert code == 0, (place / "log").read_text()
    return left_in(place / "whole"), moments


@pytest.mark.parametrize(
    "share", [0.4, *(pytest.param(n / 24, marks=pytest.mark.slow) for n in range(24))]
)
def test_a_training_that_is_killed_at_any_step_ends_in_the_same_bytes(
    place, words, whole, tmp_path, share
):
    (tmp_path / "photos").symlink_to(place / "photos")
    expected, moments = whole
    given = [*words, "--run", "run"]
    assert run_killed(tmp_path, given, moment=1 + int(moments * share))[0] == -9
    begun = (tmp_path / "run" / "config.json").exists()
    again = ["train", "--resume", "run"] if begun else given
    assert run_killed(tmp_path, again)[0] == 0, (tmp_path / "log").read_text()
    assert left_in(tmp_path / "run") == expected


def test_a_stream_is_not_scored_and_the_others_are(place, server, words, type_in):
    printed = type_in(*words, "--run", "run")
    a = f"{server}/a/a-{{0..1}}.tar"
    assert f"{a} is a stream, which has no test split: it is not scored" in printed
    assert f"{a}: a stream of 2 shards, 2 classes, to train on" in printed
    assert "source test: accuracy" in printed and "target test: accuracy" in printed
    printed = type_in("evaluate", "run", "--device", "cpu")
    assert f"{a} is a stream, which has no test split: it is not scored" in printed
    assert "target test: accuracy" in printed and "source test: accuracy" in printed
    printed = type_in("evaluate", "run", "--target", "photos", "--device", "cpu")
    assert "target test: accuracy" in printed
    assert "copy the shards here" in type_in("evaluate", "run", "--target", a, "--device", "cpu")


def test_a_run_without_a_name_is_named_after_its_shards(place, server, type_in):
    source = f"{server}/a/a-{{0..1}}.tar?key=secret"
    printed = type_in("train", "--source", source, "--target", "photos", *FAST.split())
    assert "runs/a-{0..1}-photos-dann-ucb_norm-seed0" in printed


@pytest.mark.filterwarnings("ignore:cannot show the images", "ignore:the source is not scored")
def test_no_command_of_a_run_folder_is_run(place, words, type_in, tmp_path):
    """It may have come from somebody else."""
    type_in(*words, "--run", tmp_path / "run")
    ran, path = tmp_path / "ran", tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    command = f"pipe:touch {ran}; cat {place}/a/a-{{0..1}}.tar"
    config["training"] |= {"source": [command, command], "target": [command, command], "steps": 9}
    config["trained_on"] = [command]
    path.write_text(json.dumps(config))
    run = tmp_path / "run"
    assert "whose commands are never run" in type_in("train", "--resume", run)
    type_in("evaluate", run, "--device", "cpu")
    type_in("evaluate", run, "--device", "cpu", "--label-shift", "em")
    type_in("analyse", run, "--device", "cpu", "--images", 8, "--output", tmp_path / "report")
    type_in("adapt", run, "--device", "cpu", "--output", tmp_path / "adapted")
    type_in("predict", run, "photos", "--device", "cpu", "--domain", "average")
    assert not ran.exists()
    type_in("train", "--source", command, "--target", "photos", *FAST.split())
    assert ran.exists()  # it was typed


def test_a_server_that_lacks_a_shard_is_said(place, server, type_in):
    source = f"{server}/a/a-{{0..7}}.tar"
    printed = type_in(
        *("train", "--source", source, "--target", "photos"), *FAST.split(), "--run", "lacking"
    )
    assert f"{server}/a/a-" in printed and "cannot be read" in printed
    assert "Traceback" not in printed


def test_a_comparison_scores_its_sources_and_refuses_streams(server, type_in, tmp_path):
    words = f"compare --source {server}/a/a-{{0..1}}.tar --target photos --output {tmp_path}/grid"
    assert "is a stream, which has no test split: copy its shards here" in type_in(*words.split())
