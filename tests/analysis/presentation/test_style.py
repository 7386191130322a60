"""Figures are written whole, into their folder and nowhere else."""

import errno
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from dacbn.analysis.presentation.style import save_figure
from dacbn.training import StorageError


def draw():
    figure = Figure()
    figure.subplots().plot([1, 2])
    return figure


def test_links_in_the_place_of_figures_are_replaced_not_written_through(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "figures").mkdir()
    for suffix in ("png", "svg", "npz"):
        (tmp_path / "figures" / f"x.{suffix}").symlink_to(tmp_path / "victim")
    files = save_figure(draw(), tmp_path / "figures" / "x", {"a": np.arange(3)})
    assert (tmp_path / "victim").read_text() == "precious"
    assert [path.suffix for path in files] == [".png", ".svg", ".npz"]
    assert not any(path.is_symlink() for path in files)
    assert np.load(files[2])["a"].tolist() == [0, 1, 2]


def test_equal_figures_are_equal_files(tmp_path):
    first, second = (
        [
            path.read_bytes()
            for path in save_figure(draw(), tmp_path / part / "x", {"a": np.ones(2)})
        ]
        for part in ("a", "b")
    )
    assert first == second


@pytest.mark.parametrize("suffix", ["png", "svg", "npz"])
def test_a_full_disk_is_named_and_leaves_the_old_figure(tmp_path, monkeypatch, suffix):
    save_figure(draw(), tmp_path / "x", {"a": np.ones(2)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_bytes

    def fill(path, content):
        write(path, bytes(content)[:10])
        if f".x.{suffix}" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(StorageError, match=rf"x\.{suffix}: the disk is full.* make room"):
        save_figure(draw(), tmp_path / "x", {"a": np.ones(2)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
