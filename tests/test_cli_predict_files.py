"""`dacbn predict` writes Parquet by the ending of the file, and a page with the images."""

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter
from dacbn.commands import predict
from dacbn.commands.stream_options import StreamOptions

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
    assert "1 file cannot be read" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_the_page_shows_the_rows_of_a_file_of_numpy(place, tmp_path):
    drawn = np.random.default_rng(1)
    np.savez(tmp_path / "new.npz", images=drawn.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8))
    page = tmp_path / "page.html"
    predict(place / "run", (tmp_path / "new.npz",), report=page, device="cpu")
    assert page.read_text().count("data:image/") == 4
    assert "4 images labelled by run" in page.read_text()


@pytest.mark.filterwarnings("ignore:statistics estimated on 4 images")
def test_the_command_of_a_page_has_what_changes_the_answers(place, tmp_path):
    page = tmp_path / "page.html"
    options = {"recalibrate": True, "domain": None, "precision": "float32"}
    predict(place / "run", (place / "new",), report=page, device="cpu", **options)
    command = f"--report {page} --recalibrate --precision float32"
    assert command in page.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"report": "."}, "--report needs a file to write, and . is a folder"),
        ({"output": "."}, "--output needs a file to write, and . is a folder"),
        ({"report": "a.html", "output": "a.html"}, "--output and --report are both a.html"),
        ({"report": "a.html", "order": "as-is"}, "a stream is written row by row"),
        ({"summary": True, "order": "as-is"}, "a stream is written row by row"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(place, monkeypatch, options, message):
    monkeypatch.setattr("dacbn.adapter.DomainAdapter", None)
    given = {name: Path(each) if name != "summary" else each for name, each in options.items()}
    stream = StreamOptions(order=given.pop("order", None) and "as-is")
    with pytest.raises(ValueError, match=message):
        predict(place / "run", (place / "new",), stream=stream, **given)
