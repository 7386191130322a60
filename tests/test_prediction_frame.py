"""Predictions as a table of pandas, with the columns of `dacbn predict`."""

import builtins
import csv
import io
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.answers import NO_LABEL

pd = pytest.importorskip("pandas", reason="needs pip install 'dacbn[pandas]'")

OPTIONS = {"steps": 2, "source_batch_size": 6, "target_batch_size": 6, "device": "cpu"}
OPTIONS |= {"norm": None, "method": "source_only", "validators": ()}
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
NAMES = np.array(["ant", "bee"] * 6)


@pytest.fixture
def files(tmp_path):
    """Write a folder with two classes; return its files, of which the last is broken."""
    paths = []
    for number, (image, name) in enumerate(zip(IMAGES, NAMES, strict=True)):
        paths.append(tmp_path / "photos" / str(name) / f"{number:02d}.png")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(paths[-1])
    (tmp_path / "broken.png").write_bytes(b"no image")
    return [*paths, tmp_path / "broken.png"]


def test_a_row_says_what_the_other_methods_say():
    adapter = DomainAdapter(**OPTIONS).fit(IMAGES, NAMES, target=IMAGES)
    table, probabilities = adapter.predict_frame(IMAGES), adapter.predict_proba(IMAGES)
    assert table["label"].tolist() == adapter.predict(IMAGES).tolist()
    assert np.array_equal(table["confidence"], probabilities.max(1))
    assert np.array_equal(table[["probability of ant", "probability of bee"]], probabilities)
    assert table["path"].isna().all() and table["error"].isna().all()


@pytest.mark.filterwarnings("ignore:1 image is unreadable")
def test_files_have_their_paths_reasons_and_index(files):
    column = pd.Series(list(map(str, files)), index=[f"row {n}" for n in range(13)])
    numbers = np.where(NAMES == "bee", 5, 3)
    adapter = DomainAdapter(image_size=32, **OPTIONS).fit(column[:12], numbers, target=IMAGES)
    table = adapter.predict_frame(column)
    assert table.index.equals(column.index) and table["path"].tolist() == column.tolist()
    assert table["label"].tolist() == [*adapter.predict(IMAGES), NO_LABEL]
    assert table["error"].iloc[-1] == "no image format that Pillow reads"
    assert np.isnan(table["confidence"].iloc[-1]) and not table["confidence"][:-1].isna().any()


@pytest.mark.filterwarnings("ignore:1 image is unreadable")
def test_the_table_is_that_of_the_command_line(
    files, tmp_path, tmp_path_factory, monkeypatch, capsys
):
    adapter = DomainAdapter(image_size=32, **OPTIONS)
    run = tmp_path_factory.mktemp("table") / "run"
    adapter.fit(tmp_path / "photos", IMAGES, run=run)
    words = ["predict", str(run), str(tmp_path), "--add", "probabilities"]
    monkeypatch.setattr(sys, "argv", ["dacbn", *words])
    cli.main()
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    table = adapter.predict_frame(tmp_path)
    assert [*table] == rows[0] and len(table) == len(rows) - 1 == 13
    for (_, row), (path, label, confidence, error, *_) in zip(
        table.iterrows(), rows[1:], strict=True
    ):
        given = row.astype(object).fillna("")  # None is NaN in a column of text
        assert (given["path"], given["label"], given["error"]) == (path, label, error)
        assert np.isnan(row["confidence"]) if error else f"{row['confidence']:.4f}" == confidence


def test_without_pandas_it_says_how_to_install_it(monkeypatch):
    adapter, load = DomainAdapter(**OPTIONS).fit(IMAGES, NAMES, target=IMAGES), builtins.__import__

    def refuse(name, *rest):
        if name == "pandas":
            raise ModuleNotFoundError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dacbn\[pandas\]'"):
        adapter.predict_frame(IMAGES)
