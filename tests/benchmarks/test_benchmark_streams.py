"""dacbn benchmark streams: cells, tables and a figure in a folder that can be gone on with."""

import base64
import html
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy import stats

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


def page_rows(output):
    """Read the rows of all tables of the page."""
    page = (output / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [[html.unescape(cell) for cell in re.findall(r"<t[dh].*?>(.*?)</", row)] for row in rows]


def check_page(output, lines):
    """Compare the tables of the page with the lines of cells.jsonl."""
    rows = page_rows(output)
    for norm in ("source", "unmix_norm"):
        cells = []
        for protocol in ("mixed", "single"):
            chosen = [
                each for each in lines if (each["norm"], each["protocol"]) == (norm, protocol)
            ]
            first, second = (100 * each["error"] for each in chosen)
            reach = stats.t.ppf(0.975, 1) * abs(first - second) / 2
            cells.append(f"{(first + second) / 2:.1f} ± {reach:.1f}")
            means = [
                np.mean([100 * each["parts"][part] for each in chosen])
                for part in ("noisy 5", "faded 5")
            ]
            means.append(np.mean([100 * each["last_tenth"] for each in chosen]))
            assert [norm, *(f"{mean:.4g}" for mean in means)] in rows
        assert [norm, *cells] in rows
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "streams of 48 images in 2 parts: noisy 5, faded 5." in html.unescape(page)
    heads = [html.unescape(each) for each in re.findall(r"<h2>(.*?)</h2>", page)]
    assert {"unmix_norm, mixed 8", "unmix_norm, single 1"} <= {*heads}
    for figure in [output / "errors.png", *output.glob("paths/*/stream_path.png")]:
        assert base64.b64encode(figure.read_bytes()).decode() in page
    assert "--corruptions noisy faded --strengths 5 --images 24 " in page
    assert "<script" not in page  # needs no extra


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
    assert mixed.name == "mixed-8-unmix_norm-0" and path.name == "single-1-unmix_norm-0"
    assert (path / "stream_path.png").exists()
    tables = (output / "tables.md").read_text()
    of_mixed, of_path = tables.split("Where the statistics went: ")[1:]
    assert of_mixed.startswith(mixed.name) and "last part" not in of_mixed
    assert of_path.startswith(path.name) and of_path in printed
    assert "Share of each part that each component took" in of_path
    lines = (output / "cells.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 8
    check_page(output, [json.loads(line) for line in lines])

    with np.load(path / "stream_path.npz") as arrays:
        recorded = dict(arrays)
    first = next(name for name in recorded if name.endswith("/to_source"))
    recorded[first] = np.full_like(recorded[first], 7.25)
    np.savez(path / "stream_path.npz", **recorded)
    (path / "stream_path.png").unlink()
    (output / "report.html").unlink()
    call(monkeypatch, *words, "--protocols", "single")
    printed = "".join(capsys.readouterr())
    assert "/4 single" not in printed and "statistics are 7.25 standard" in printed
    (row,) = (row for row in page_rows(output) if "single 1" in row and row[1] == "unmix_norm")
    others = [recorded[n][-1] for n in recorded if n.endswith("/to_source")]
    assert float(row[3]) == pytest.approx(np.mean(others), abs=6e-4)
    assert (path / "stream_path.png").exists()
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
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert "The first stream that mixes the parts, of seed 0" in page
    assert "means over seeds" not in page and "grey lines" not in page


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
