"""`dacbn predict` for streams: rows in order and at once, names that arrive, state, mistakes."""

import csv
import io
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.methods import Tent

pytestmark = [
    pytest.mark.filterwarnings("ignore:1 image is unreadable"),
    pytest.mark.filterwarnings("ignore:test-time adaptation"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, and a folder of photos of which one is broken."""
    root, drawn = tmp_path_factory.mktemp("predict"), np.random.default_rng(0)
    pixels = drawn.integers(0, 256, (18, 32, 32, 3)).astype(np.uint8)
    labels = np.array(["cup", "pen", "zebra"])[np.arange(18) % 3]
    options = {"steps": 4, "source_batch_size": 6, "target_batch_size": 6, "device": "cpu"}
    adapter = DomainAdapter(norm="batch_norm", **options)
    adapter.fit((pixels, labels), pixels).save_pretrained(root / "run")
    (root / "new").mkdir()
    for number, each in enumerate(pixels[:9]):
        Image.fromarray(each).save(root / "new" / f"{number}.png")
    (root / "new" / "2.png").write_bytes(b"no image")
    return root


@pytest.fixture
def predict(place, monkeypatch, capsys):
    def run(*words, code=0, arriving=None):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["dacbn", "predict", *map(str, words), "--device", "cpu"])
        if arriving is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(arriving)))
        try:
            cli.main()
        except SystemExit as stop:
            assert stop.code == code, capsys.readouterr().err
        else:
            assert code == 0
        shown = capsys.readouterr()
        return list(csv.DictReader(io.StringIO(shown.out))), shown.err

    return run


@pytest.mark.parametrize(
    "words",
    [
        ["--order", "as-is"],
        ["--batch-size", 1],
        ["--batch-size", 4],
        ["--batch-size", 4, "--adapt", "lame(weight=0.0)"],
    ],
)
def test_rows_are_those_of_a_prediction_and_a_note(predict, words):
    wanted, _ = predict("run", "new", "--top", 2, "--add", "logits")
    found, _ = predict("run", "new", "--top", 2, "--add", "logits", *words)
    assert [row.pop("note") for row in found] == [""] * 9
    for row, other in zip(found, wanted, strict=True):
        assert row.keys() == other.keys()
        assert [row[name] for name in ("path", "label", "error")] == [
            other[name] for name in ("path", "label", "error")
        ]
        assert row["error"] or float(row["confidence"]) == pytest.approx(
            float(other["confidence"]), abs=2e-4
        )
    assert found[2]["error"].startswith("no image format")


def test_names_arrive_on_standard_input(predict, place):
    (place / "without").mkdir()
    arriving = b"new/3.png\n\nnew/2.png\r\nnew/absent.png\nwithout\nnew/0.png"
    rows, _ = predict("run", "new/1.png", "--follow", "--batch-size", 2, arriving=arriving)
    names = ["new/1.png", "new/3.png", "new/2.png", "new/absent.png", "without", "new/0.png"]
    assert [row["path"] for row in rows] == names
    assert [row["error"] for row in rows][3:5] == [
        "No such file or directory",
        "not a regular file",
    ]
    assert all(row["label"] for row in rows if not row["error"])


def test_an_answer_is_written_before_the_next_name_is_waited_for(place, predict, monkeypatch):
    written = io.BytesIO()

    def names():
        for number in (0, 3, 1):
            yield f"new/{number}.png\n".encode()
            rows = written.getvalue().decode().splitlines()
            assert rows[0].startswith("path,label,confidence,error")
            assert rows[-1].startswith(f"new/{number}.png,")

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=names()))
    options = ["--follow", "--batch-size", 1, "--adapt", "tent", "--state", "followed.pt"]
    predict("run", *options)
    assert len(written.getvalue().decode().splitlines()) == 4 and (place / "followed.pt").exists()


@pytest.mark.parametrize("while_waiting", [True, False])
def test_a_signal_leaves_a_state_of_all_rows_that_were_written(
    predict, place, monkeypatch, while_waiting
):
    files = [f"new/{number}.png" for number in (0, 1, 3, 4, 5, 6)]
    options = ["--adapt", "tent(lr=0.1)", "--batch-size", 2, "--state", f"{while_waiting}.pt"]
    whole, _ = predict("run", *files, *options[:-2])
    learn = Tent.predict

    def names():
        for number, name in enumerate(files):
            if while_waiting and number == 5:
                signal.raise_signal(signal.SIGTERM)
            yield f"{name}\n".encode()

    def learns(self, images, cluster_ids):
        if not while_waiting and len(calls) == 1:
            signal.raise_signal(signal.SIGTERM)
        calls.append(images)
        return learn(self, images, cluster_ids)

    calls = []
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=names()))
    monkeypatch.setattr(Tent, "predict", learns)
    first, _ = predict("run", "--follow", *options, code=128 + signal.SIGTERM)
    monkeypatch.setattr(Tent, "predict", learn)
    second, _ = predict("run", *files[len(first) :], *options)
    assert len(first) == 4 and [*first, *second] == whole


def test_a_state_is_gone_on_from(predict, place):
    files = [f"new/{number}.png" for number in (0, 1, 3, 4, 5, 6)]
    options = ["--adapt", "tent(lr=0.1)", "--batch-size", 2]
    whole, _ = predict("run", *files, *options)
    first, _ = predict("run", *files[:4], *options, "--state", "state.pt")
    second, _ = predict("run", *files[4:], *options, "--state", "state.pt")
    assert [*first, *second] == whole
    _, said = predict("run", files[0], "--adapt", "sar", "--state", "state.pt", code=1)
    assert "a stream with adapt tent(lr=0.1), and this has sar" in said and said.count("\n") == 1


def test_rows_go_to_a_file(predict, place):
    rows, _ = predict("run", "new", "--order", "as-is", "--output", "rows.csv")
    assert rows == [] and len((place / "rows.csv").read_text().splitlines()) == 10


def test_adapt_alone_stays_shuffled(predict):
    rows, _ = predict("run", "new", "--adapt", "tent")
    again, _ = predict("run", "new", "--adapt", "tent", "--order", "shuffled")
    assert rows == again and "note" not in rows[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new", "--order", "shuffled", "--batch-size", 1], "leave out --order shuffled"),
        (["new", "--batch-size", 0], "--batch-size must be at least 1, got 0"),
        (["new", "--order", "as-is", "--recalibrate"], "look at all images first"),
        (["new", "--order", "as-is", "--label-shift", "em"], "look at all images first"),
        (["--order", "as-is"], "give image files, or folders of them, to predict"),
        (["--follow"], "no image came on standard input: send the name of a file on each line"),
        (["new/2.png", "--order", "as-is"], "none of 1 images can be read: no image format"),
        (["new", "--order", "as-is", "--on-unreadable", "raise"], "pass --on-unreadable skip"),
        (["new", "--order", "as-is", "--adapt", "tnt"], "Did you mean 'tent'"),
        (["new", "--state", "new/0.png"], "is no saved state of a stream"),
        (["new", "--state", "new"], "new cannot be read: Is a directory: give the file"),
        (["new", "--order", "as-is", "--summary"], "a stream is written row by row"),
        (["new", "--follow", "--report", "a.html"], "a stream is written row by row"),
        (["new", "--batch-size", 1, "--output", "a.parquet"], "written row by row, as CSV"),
    ],
)
def test_mistakes_are_said_in_a_line(predict, words, message):
    _, said = predict("run", *words, code=1, arriving=b"")
    assert message in said and said.count("\n") == 1
