"""What a folder of a benchmark of streams is of, and which of its lines and arrays are used."""

import hashlib
import json

import numpy as np
import pytest

from dacbn.benchmarks.stream_cell import Cell
from dacbn.commands.stream_folder import CELLS, SETTINGS, claim, key, read_rows
from dacbn.commands.stream_paths import named, write_paths
from dacbn.streams import LayerPath, StreamPath

STREAMS = {"target": ("digits", "photos"), "images": 20, "reset": None}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run", "photos", "digits"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"first")
    return tmp_path / "run"


@pytest.fixture
def folder(run, tmp_path):
    claim(tmp_path / "out", run, STREAMS)
    (tmp_path / "out" / CELLS).touch()
    return tmp_path / "out"


def test_relative_and_absolute_paths_are_the_same(folder, run, tmp_path, monkeypatch):
    held = json.loads((folder / SETTINGS).read_text())
    assert held["sha256"] == hashlib.sha256(b"first").hexdigest()
    assert held["target"] == ["digits", str(tmp_path / "photos")]  # a dataset's name stays
    claim(folder, run.relative_to(tmp_path), STREAMS)
    monkeypatch.chdir(run)
    claim(folder, run, STREAMS | {"target": ("digits", "../photos")})
    (folder / SETTINGS).write_text(json.dumps(held | {"run": "../run"}))  # as older folders
    claim(folder, run, STREAMS | {"target": held["target"]})


def test_a_run_that_was_trained_again_is_another(folder, run):
    (run / "model.safetensors").write_bytes(b"second")
    with pytest.raises(ValueError, match="trained again since: choose another output"):
        claim(folder, run, STREAMS)


def test_a_folder_without_the_weights_is_gone_on_with_and_said(folder, run, caplog):
    held = json.loads((folder / SETTINGS).read_text())
    del held["sha256"]
    (folder / SETTINGS).write_text(json.dumps(held))
    with caplog.at_level("WARNING"):
        claim(folder, run, STREAMS)
    assert "did not note the weights" in caplog.text
    assert json.loads((folder / SETTINGS).read_text()) == held  # nothing is sworn to


def test_other_streams_and_damaged_settings_are_told_apart(folder, run):
    with pytest.raises(ValueError, match=r"other streams \(other: images\): choose another"):
        claim(folder, run, STREAMS | {"images": 21})
    (folder / SETTINGS).write_text((folder / SETTINGS).read_text()[:40])
    with pytest.raises(ValueError, match=r"settings\.json is damaged"):
        claim(folder, run, STREAMS)


def test_lines_that_are_no_rows_are_left_out(tmp_path):
    cell = {"protocol": "iid", "batch_size": 8, "norm": "source", "method": None, "seed": 0}
    row = cell | {"error": 0.5, "last_tenth": 0.5, "parts": {"a": 0.5}, "curve": [0.5]}
    lines = [None, [], {"protocol": "iid"}, cell, row]
    (tmp_path / CELLS).write_text("\n".join(map(json.dumps, lines)) + '\n{"proto')
    assert read_rows(tmp_path / CELLS) == {key(row): row}
    assert (tmp_path / CELLS).read_text() == json.dumps(row) + "\n"


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "lacks"])
def test_a_damaged_path_is_recorded_again(damage, tmp_path, monkeypatch, caplog):
    layer = LayerPath(np.array([0.5]), np.array([[0.25]]), np.array([1.0]), None)
    path = StreamPath(np.array([8]), np.array([0]), ("fog",), {"a": layer})
    cell = Cell("iid", 8, "unmix_norm", None, 0)
    file = tmp_path / named(cell) / "stream_path.npz"
    file.parent.mkdir()
    np.savez(file, images=path.images, part=path.part)
    whole = file.read_bytes()
    kept = {"cut": whole[:-30], "empty": b"", "text": b"mine", "lacks": whole}[damage]
    file.write_bytes(kept)
    file.with_suffix(".png").touch()
    file.with_suffix(".svg").touch()
    drawn = []
    monkeypatch.setattr(
        "dacbn.analysis.streams.path.draw_stream_path", lambda *given: drawn.append(given)
    )
    with caplog.at_level("WARNING"):
        (found,) = write_paths([cell], tmp_path, lambda cell: path)
    assert found.path is path and drawn == [(path, file.parent)]
    assert "is damaged: the statistics are recorded again" in caplog.text
