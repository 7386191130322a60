"""`dacbn predict` writes Parquet by the ending of the file, and a page with the images."""

import csv
import io
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter
from dacbn.commands import predict

CLASSES = ["=cup", "a & <b>", "zebra"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of three classes, and a folder of five new photos of which one is broken."""
    root, drawn = tmp_path_factory.mktemp("predict"), np.random.default_rng(0)
    pixels = drawn.integers(0, 256, (18, 32, 32, 3)).astype(np.uint8)
    labels = np.array(CLASSES)[np.arange(18) % 3]
    adapter = DomainAdapter(steps=2, source_batch_size=6, target_batch_size=6, device="cpu")
    adapter.fit((pixels, labels), pixels).save_pretrained(root / "run")
    (root / "new").mkdir()
    for number, each in enumerate(pixels[:5]):
        Image.fromarray(each).save(root / "new" / f"{number}.png")
    (root / "new" / "2.png").write_bytes(b"no image")
    return root


pytestmark = pytest.mark.filterwarnings("ignore:1 image is unreadable")


def test_parquet_holds_the_same_rows_as_csv_with_numbers_and_plain_names(place, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("table.csv", "table.parquet"):
        predict(
            *(place / "run", (place / "new",)),
            output=tmp_path / name,
            top=2,
            add=("probabilities", "features"),
            device="cpu",
        )
    table = parquet.read_table(tmp_path / "table.parquet")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert table.num_rows == len(rows) == 5
    assert table.column("path").to_pylist() == [row["path"] for row in rows]
    assert table.column("label").to_pylist() == [row["label"].lstrip("'") or None for row in rows]
    assert table.column("confidence_2").to_pylist()[2] is None
    assert [value for value in table.column("error").to_pylist() if value] == [rows[2]["error"]]
    for name in ("confidence", "probability of zebra", "feature 3"):
        column = table.column(name)
        assert str(column.type) == "float"
        expected = [float(row[name]) for row in rows if row[name]]
        known = [value for value in column.to_pylist() if value is not None]
        assert known == pytest.approx(expected, rel=1e-5)
    assert "probability of =cup" in table.column_names
    assert "probability of '=cup" in rows[0]


def test_parquet_without_pyarrow_names_the_cure_before_the_work(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("dacbn.adapter.DomainAdapter", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"pip install 'dacbn\[parquet\]', or name a .csv"
    ):
        predict(place / "run", (place / "new",), output=tmp_path / "a.parquet")


def test_the_page_shows_images_by_class_and_files_that_cannot_be_read(place, tmp_path, capsys):
    page = tmp_path / "page.html"
    predict(place / "run", (place / "new",), report=page, device="cpu")
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/") == 4 and "4 images in" in text
    for name in ("0.png", "1.png", "3.png", "4.png"):
        assert f"<b>{name}</b>" in text
    assert "Files that cannot be read" in text and "2.png" in text
    assert "http" not in text and "<b>\n" not in text and "a & <b>" not in text
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 6  # the table alone


def test_a_page_of_files_none_of_which_can_be_read(place, tmp_path):
    with pytest.raises(ValueError, match="none of 1 images can be read"):
        predict(place / "run", (place / "new" / "2.png",), report=tmp_path / "a.html", device="cpu")
    assert "1 files cannot be read" in (tmp_path / "a.html").read_text(encoding="utf-8")
