"""dacbn benchmark streams: cells, tables and a figure in a folder that can be gone on with."""

import json

import pytest
from PIL import Image

from dacbn.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from dacbn import DomainAdapter

    folder = tmp_path_factory.mktemp("streams") / "run"
    options = {"method": "source_only", "steps": 2, "norm": None, "device": "cpu"}
    DomainAdapter(**options).fit("digits", "color_digits", run=folder)
    return folder


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["dacbn", "benchmark", "streams", *map(str, words)])
    main()


def test_it_writes_and_goes_on(run, tmp_path, monkeypatch, capsys):
    output = tmp_path / "streams"
    words = [run, "--target", "digits", "--corruptions", "noisy", "faded", "--strengths", "5"]
    words += ["--images", "24", "--seeds", "0", "1", "--norms", "source", "unmix_norm"]
    words += ["--output", output, "--device", "cpu"]
    call(monkeypatch, *words, "--protocols", "mixed", "--batch-sizes", "8")
    printed = "".join(capsys.readouterr())
    assert "4/4 mixed, 8 at a time, unmix_norm, seed 1" in printed and "±" in printed
    rows = [json.loads(line) for line in (output / "cells.jsonl").read_text().splitlines()]
    assert len(rows) == 4 and {*rows[0]["parts"]} == {"noisy 5", "faded 5"}
    assert "| mixed 8 " in (output / "tables.md").read_text()
    assert (output / "errors.png").stat().st_size > 1000

    with open(output / "cells.jsonl", "a") as lines:
        lines.write('{"protocol": "sing')  # cut off
    call(monkeypatch, *words, "--protocols", "mixed", "single", "--batch-sizes", "8")
    printed = "".join(capsys.readouterr())
    assert "4/4" not in printed and "5/8 single, 1 at a time, source, seed 0" in printed
    mixed, path = sorted((output / "paths").iterdir())  # source does not follow
    assert (
        mixed.name == "mixed-8-unmix_norm-0" and "last part" not in (mixed / "path.md").read_text()
    )
    assert path.name == "single-1-unmix_norm-0" and (path / "stream_path.png").exists()
    assert f"Where the statistics went: {path.name}" in printed
    assert "Share of each part that each component took" in (output / "tables.md").read_text()
    lines = (output / "cells.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 8
    (path / "path.md").write_text("written before")
    call(monkeypatch, *words, "--protocols", "single")
    printed = "".join(capsys.readouterr())
    assert "/4 single" not in printed and "written before" in printed
    with pytest.raises(SystemExit):
        call(monkeypatch, *words, "--reset", "True")
    assert "choose another --output" in capsys.readouterr().err


def test_a_pair_that_cannot_be_is_left_out_and_said(run, tmp_path, monkeypatch, capsys):
    words = [run, "--target", "digits", "--images", "16", "--seeds", "0", "--protocols", "mixed"]
    words += ["--batch-sizes", "8", "--methods", "none", "rotta", "--output", tmp_path / "s"]
    call(monkeypatch, *words, "--norms", "source", "unmix_norm", "--device", "cpu")
    printed = "".join(capsys.readouterr())
    assert "unmix_norm with method rotta is left out: rotta brings its own norm" in printed
    rows = [json.loads(line) for line in (tmp_path / "s" / "cells.jsonl").read_text().splitlines()]
    found = [(row["norm"], row["method"]) for row in rows]
    assert found == [("source", None), ("source", "rotta"), ("unmix_norm", None)]


def test_a_mistake_does_not_keep_the_folder(run, tmp_path, monkeypatch, capsys):
    words = ["--images", "16", "--seeds", "0", "--protocols", "iid", "--batch-sizes", "8"]
    words += ["--norms", "source", "--output", tmp_path / "s", "--device", "cpu", "--target"]
    with pytest.raises(SystemExit):
        call(monkeypatch, run, *words, "digit")
    assert "unknown dataset 'digit'" in capsys.readouterr().err
    call(monkeypatch, run, *words, "digits")


def test_an_output_that_is_a_file_is_refused_in_a_line(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(SystemExit):
        call(monkeypatch, run, "--target", "digits", "--output", tmp_path / "s")
    assert "choose another folder" in capsys.readouterr().err
    assert (tmp_path / "s").read_text() == "mine"


def test_targets_of_the_same_name_are_both_parts(run, tmp_path, monkeypatch):
    from dacbn import DomainAdapter
    from dacbn.commands.stream_parts import StreamSettings, read_parts

    monkeypatch.chdir(tmp_path)
    for place, value in (("a/test", 0), ("b/test", 255)):
        for name in map(str, range(10)):
            (tmp_path / place / name).mkdir(parents=True)
            Image.new("RGB", (32, 32), (value,) * 3).save(tmp_path / place / name / "0.png")
    adapter = DomainAdapter.from_pretrained(run, "cpu")
    parts = read_parts(adapter, StreamSettings(("a/test", "b/test", "a/test")), 0)
    assert {name: int(part.images.pixels.max()) for name, part in parts.items()} == {
        "a/test": 0,
        "b/test": 255,
    }


@pytest.fixture
def drawn(run):
    from dacbn import DomainAdapter
    from dacbn.commands.stream_parts import StreamSettings, read_parts

    settings = StreamSettings(("digits",), ("noisy", "faded"), (2, 4), images=50)
    return lambda seed: read_parts(DomainAdapter.from_pretrained(run, "cpu"), settings, seed)


def test_each_seed_draws_other_images_of_each_part_and_the_same_again(drawn):
    first, again, other = drawn(0), drawn(0), drawn(1)
    assert [*first] == ["noisy 2", "faded 2", "noisy 4", "faded 4"]
    for name, part in first.items():
        assert part.labels.equal(again[name].labels) and len(part) == 50
        assert part.images.pixels.equal(again[name].images.pixels)
        assert not part.labels.equal(other[name].labels)
    labels = [tuple(part.labels.tolist()) for part in first.values()]
    assert len(set(labels)) == 4


def test_images_that_are_not_held_are_the_same(drawn, monkeypatch):
    import torch

    held = drawn(1)
    monkeypatch.setattr("dacbn.commands.stream_parts.HELD", 3 * 32**2 * 50 * 2)
    some, rows = drawn(1), torch.tensor([7, 3, 49])
    kinds = [type(part.images).__name__ for part in some.values()]
    assert kinds == ["TensorImages"] * 2 + ["CorruptedImages"] * 2
    for name, part in some.items():
        assert part.images.gather(rows).equal(held[name].images.gather(rows))


def test_a_folder_of_seeds_that_shared_their_images_is_not_gone_on_with(
    run, tmp_path, monkeypatch, capsys
):
    words = [run, "--target", "digits", "--images", "16", "--seeds", "0", "--protocols", "iid"]
    words += ["--norms", "source", "--batch-sizes", "8", "--output", tmp_path, "--device", "cpu"]
    call(monkeypatch, *words)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings.pop("drawn") == "by seed and part"
    (tmp_path / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    with pytest.raises(SystemExit):
        call(monkeypatch, *words)
    assert "seeds shared their images: choose another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--corruptions", "foggy"], "unknown corruption 'foggy'"),
        (["--strengths", "6"], "--strengths are 1 to 5, got 6"),
        (["--batch-sizes", "0"], "--batch-sizes must be at least 1"),
        (["--norms", "unmix"], "unknown norm 'unmix'. Did you mean 'unmix_norm'?"),
        (["--methods", "tents"], "unknown test-time method 'tents'"),
        (["--seeds"], "--seeds needs at least one"),
        (["--seeds", "-1"], "--seeds must be at least 0, got -1"),
        (["--images", "0"], "--images must be at least 1"),
        (["--norms", "unmix_norm", "--methods", "rotta"], "rotta brings its own norm"),
        (["--norms", "group_norm"], "GroupNorm cannot start from trained statistics"),
    ],
)
def test_mistakes_are_told_in_one_line(run, words, told, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, run, "--target", "digits", "--output", tmp_path / "s", *words)
    assert told in capsys.readouterr().err
