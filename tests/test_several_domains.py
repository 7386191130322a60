"""Several sources and targets, from the command line and in Python."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.training import read_records

NORM = "domain_specific_batch_norm"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Five domains: squares on the left or right, each domain in a brightness of its own."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for number, name in enumerate("abcde"):
        for side, label in enumerate(("left", "right")):
            (tmp_path / name / label).mkdir(parents=True)
            for index in range(10):
                pixels = generator.integers(0, 30, (32, 32)) + 30 * number
                pixels[8:24, 16 * side : 16 * side + 16] += 80
                file = tmp_path / name / label / f"{index}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(file)
    return [str(tmp_path / name) for name in "abcde"]


@pytest.fixture
def run_cli(monkeypatch, capsys):
    """Build a function that runs a command, and returns what it printed, or its error."""

    def run(*words, fails=False):
        monkeypatch.setattr(sys, "argv", ["dacbn", *words])
        try:
            cli.main()
        except SystemExit:
            assert fails, capsys.readouterr().err
            return capsys.readouterr().err
        assert not fails
        return capsys.readouterr().out

    return run


@pytest.fixture
def weights():
    """Read an adapter's weights as bytes."""

    def read(adapter):
        state = adapter.network.state_dict()
        return {name: tensor.numpy().tobytes() for name, tensor in state.items()}

    return read


OPTIONS = ["--steps", "12", "--log-every", "4", "--norm", NORM, "--image-size", "32"]
OPTIONS += ["--source-batch-size", "9", "--target-batch-size", "6", "--augment", "none"]
COMMAND = ["train", "--source", "a", "b", "c", "--target", "d", "e", "--run", "run", *OPTIONS]


def test_a_run_of_three_sources_and_two_targets(places, run_cli):
    out = run_cli(*COMMAND)
    assert "a + b + c → d + e: dann" in out
    assert "target test (mean of 2 domains)" in out and out.count("← worst") == 2
    info = json.loads(Path("run/config.json").read_text())["training"]
    assert (info["source"], info["target"]) == (["a", "b", "c"], ["d", "e"])
    last = read_records(Path("run"))[-1]
    for kind, names in (("source", "abc"), ("target", "de")):
        scores = [last[f"{kind}_test_accuracy/{name}"] for name in names]
        assert last[f"{kind}_test_accuracy"] == pytest.approx(sum(scores) / len(scores))

    out = run_cli("evaluate", "run")
    assert "  d: " in out and "  b: " in out
    written = json.loads(Path("run/evaluation.json").read_text())
    assert written["target_test_accuracy/d"] == pytest.approx(last["target_test_accuracy/d"])
    assert "target test: accuracy" in run_cli("evaluate", "run", "--target", "e")

    table = run_cli("predict", "run", "e", "--domain", "e").splitlines()
    assert len(table) == 21
    other = run_cli("predict", "run", "e", "--domain", "average").splitlines()
    assert other != table and len(other) == 21


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "run", "e"], "several targets: name one, d or e, or average"),
        (["predict", "run", "e", "--domain", "f"], "no domain 'f': choose one of a, b, c, d, e"),
        (
            ["predict", "run", "e", "--domain", "average", "--adapt", "tent"],
            "of one domain are moved",
        ),
        (["evaluate", "run", "--domain", "d"], "--domain says whose statistics --target has"),
    ],
)
def test_questions_about_several_domains_are_answered_in_one_line(places, run_cli, words, message):
    run_cli(*COMMAND)
    assert message in run_cli(*words, fails=True)


def test_a_run_of_several_domains_goes_on_bit_for_bit(places, weights):
    settings = {"norm": NORM, "image_size": 32, "source_batch_size": 5, "target_batch_size": 4}
    settings |= {"augment": "none", "seed": 3, "schedule": "constant", "method": "deep_coral"}
    domains = places[:3], places[3:]
    whole = DomainAdapter(**settings, steps=8).fit(*domains)
    DomainAdapter(**settings, steps=4).fit(*domains, run="parts")
    late = DomainAdapter(**settings, steps=8).fit(*domains, run="parts", resume=True)
    assert weights(late) == weights(whole)


def test_arrays_lists_and_folders_may_be_mixed(places):
    images = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), dtype=np.uint8)
    labels = ["left", "right"] * 6
    adapter = DomainAdapter(steps=2, norm=NORM, source_batch_size=6, target_batch_size=4)
    adapter.fit([(images, labels), places[0]], [images, places[4]])
    assert adapter.config.source == ("in memory", places[0])
    assert adapter.predict(images, "target 1").shape == (12,)
    assert adapter.predict(images, "e").shape == (12,)
    by_id = adapter.predict_proba(images, 2)
    np.testing.assert_array_equal(by_id, adapter.predict_proba(images, "target 1"))


def test_the_average_is_that_of_the_probabilities_of_all_sources(places):
    images = np.random.default_rng(1).integers(0, 255, (7, 32, 32, 3), dtype=np.uint8)
    adapter = DomainAdapter(steps=2, norm=NORM, source_batch_size=6, target_batch_size=4)
    adapter.fit(places[:3], places[3])
    each = [adapter.predict_proba(images, name) for name in "abc"]
    np.testing.assert_allclose(
        adapter.predict_proba(images, "average"), np.mean(each, 0), atol=1e-6
    )
    assert np.abs(each[0] - each[1]).max() > 1e-4


def test_sources_of_different_classes_are_refused(places, tmp_path):
    (tmp_path / "b" / "right").rename(tmp_path / "b" / "rihgt")
    with pytest.raises(ValueError, match=r"all sources must have the same classes: .*b lacks \['r"):
        DomainAdapter(steps=1).fit(places[:2], places[3])


def test_test_sets_are_as_many_as_domains(places):
    with pytest.raises(ValueError, match="1 test sets for 2 domains"):
        DomainAdapter(steps=1).fit(places[:2], places[3], source_test=places[0])


def test_no_source_is_refused():
    with pytest.raises(ValueError, match="there is no source"):
        DomainAdapter(source=())


@pytest.fixture
def table(places, tmp_path):
    """One table of all five domains."""
    rows = [
        f"{file.relative_to(tmp_path)},{file.parent.name},{Path(place).name}"
        for place in places
        for file in sorted(Path(place).rglob("*.png"))
    ]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label,camera", *rows]))
    return "photos.csv"


def test_each_domain_of_a_table_is_one(table, run_cli):
    settings = [*OPTIONS, "--columns", "domain=camera", "--run", "run"]
    addresses = [f"{table}:{name}" for name in "abde"]
    out = run_cli("train", "--source", *addresses[:2], "--target", *addresses[2:], *settings)
    assert "target test (mean of 2 domains)" in out and "  photos.csv:d: " in out
    assert len(run_cli("predict", "run", "d", "--domain", "photos.csv:d").splitlines()) == 21


def test_a_table_of_several_domains_gives_all_of_them(table, tmp_path):
    lines = (tmp_path / table).read_text().splitlines()
    rows = [line for line in lines[1:] if line.endswith((",a", ",b", ",c"))]
    (tmp_path / "sources.csv").write_text("\n".join([lines[0], *rows]))
    adapter = DomainAdapter(steps=2, norm=NORM, columns=("domain=camera",), image_size=32)
    adapter.fit("sources.csv", "d", source_test="sources.csv", target_test="d")
    assert adapter.config.source == ("sources.csv:a", "sources.csv:b", "sources.csv:c")
    names = {name for name in adapter.records[-1] if name.startswith("source_test_accuracy/")}
    assert names == {f"source_test_accuracy/sources.csv:{name}" for name in "abc"}
