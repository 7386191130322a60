"""`dacbn predict`: a row for every file, what may be added to it, and recalibrated networks."""

import csv
import io
import os
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.datasets import blocks
from dacbn.training import run_network

CLASSES = ["=cup", "pen\x1b[31m", "zebra"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of three classes, and a folder of new photos of which one is broken."""
    root, drawn = tmp_path_factory.mktemp("predict"), np.random.default_rng(0)
    pixels = drawn.integers(0, 256, (18, 32, 32, 3)).astype(np.uint8)
    labels = np.array(CLASSES)[np.arange(18) % 3]
    adapter = DomainAdapter(steps=4, source_batch_size=6, target_batch_size=6, device="cpu")
    adapter.fit((pixels, labels), pixels).save_pretrained(root / "run")
    (root / "new").mkdir()
    for number, each in enumerate(pixels[:5]):
        Image.fromarray(each).save(root / "new" / f"{number}.png")
    (root / "new" / "2.png").write_bytes(b"no image")
    return root


@pytest.fixture
def predict(place, monkeypatch, capsys):
    def run(*words, code=0):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["dacbn", "predict", *map(str, words), "--device", "cpu"])
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            try:
                cli.main()
            except SystemExit as stop:
                assert stop.code == code, capsys.readouterr().err
            else:
                assert code == 0
        shown = capsys.readouterr()
        return list(csv.DictReader(io.StringIO(shown.out))), shown.err

    return run


@pytest.fixture
def expected(place):
    """What the network says of the four photos that can be read."""
    adapter = DomainAdapter.from_pretrained(place / "run", "cpu")
    files = [place / "new" / f"{number}.png" for number in (0, 1, 3, 4)]
    return run_network(adapter.network, adapter.images_of(files), 1, "cpu")


def test_every_file_has_a_row(predict, expected):
    rows, errors = predict("run", "new", "new/1.png")
    assert [row["path"] for row in rows] == [*(f"new/{n}.png" for n in range(5)), "new/1.png"]
    assert list(rows[0]) == ["path", "label", "confidence", "error"]
    assert (rows[2]["label"], rows[2]["confidence"]) == ("", "") and "no image" in rows[2]["error"]
    assert "1 image is unreadable: new/2.png" in errors
    cells = ["'=cup", "pen\\x1b[31m", "zebra"]
    labels = [cells[label] for label in expected.logits.argmax(1)]
    good = [row for row in rows[:5] if not row["error"]]
    assert [row["label"] for row in good] == labels
    confidences = expected.logits.softmax(1).max(1).values
    assert [float(row["confidence"]) for row in good] == pytest.approx(confidences, abs=1e-4)


def test_all_probabilities_logits_and_features_can_be_added(predict, expected):
    rows, _ = predict("run", "new", "--add", "probabilities", "logits", "features")
    columns = list(rows[0])[4:]
    assert columns[:3] == [f"probability of {name}" for name in ("'=cup", "pen\\x1b[31m", "zebra")]
    numbers = np.array([list(row.values())[4:] for row in rows if not row["error"]], float)
    wanted = [expected.logits.softmax(1), expected.logits, expected.features]
    np.testing.assert_allclose(numbers, np.concatenate(wanted, 1), rtol=1e-4, atol=1e-6)
    assert set(list(rows[2].values())[4:]) == {""}


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_files_are_labelled_in_blocks(predict, expected, monkeypatch, precision):
    monkeypatch.setattr(blocks, "BLOCK", 2)
    rows, errors = predict("run", "new", "--add", "logits", "--precision", precision)
    assert errors.count("1 image is unreadable: new/2.png") == 1 and rows[2]["error"]
    logits = np.array([list(row.values())[4:] for row in rows if not row["error"]], float)
    tolerance = 1e-4 if precision == "auto" else 0.1 * expected.logits.abs().max()
    np.testing.assert_allclose(logits, expected.logits, atol=tolerance)
    assert (precision == "bfloat16") == (np.abs(logits - expected.logits.numpy()).max() > 1e-5)


def test_the_likeliest_classes_are_in_order(predict, expected):
    rows, _ = predict("run", "new", "--top", 3)
    assert list(rows[0])[4:] == ["label_2", "confidence_2", "label_3", "confidence_3"]
    probabilities, order = expected.logits.softmax(1).sort(1, descending=True)
    good = [row for row in rows if not row["error"]]
    for row, shares, labels in zip(good, probabilities, order, strict=True):
        assert float(row["confidence_3"]) == pytest.approx(shares[2].item(), abs=1e-4)
        assert row["label_3"] == ["'=cup", "pen\\x1b[31m", "zebra"][labels[2]]
    _, errors = predict("run", "new", "--top", 4, code=1)
    assert errors == "dacbn: --top must be 1 to 3, the classes of run\n"


def test_files_that_none_can_be_read_of_have_rows_and_an_error(predict):
    rows, errors = predict("run", "new/2.png", "--add", "features", code=1)
    assert [row["path"] for row in rows] == ["new/2.png"] and "no image" in rows[0]["error"]
    assert "dacbn: none of 1 images can be read: new/2.png" in errors


@pytest.mark.parametrize("words", [(), ("--recalibrate",)])
def test_a_file_of_a_table_that_is_missing_has_a_row(predict, place, words):
    table = place / "new.csv"
    table.write_text("path\nnew/gone.png\nnew/0.png\nnew/1.png\n")
    rows, _ = predict("run", "new.csv", *words)
    assert [row["path"].rpartition("/")[2] for row in rows] == ["gone.png", "0.png", "1.png"]
    assert "No such file" in rows[0]["error"] and not rows[0]["label"]
    assert all(row["label"] and not row["error"] for row in rows[1:])
    _, errors = predict("run", "new.csv", "--on-unreadable", "raise", code=1)
    assert "gone.png" in errors
    table.write_text("path\nold/0.png\nold/1.png\n")
    _, errors = predict("run", "new.csv", code=1)
    assert "2 of 2 files of new.csv do not exist" in errors


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_names_that_are_no_utf8_or_would_be_obeyed_are_escaped(predict, place, tmp_path):
    folder = os.fsencode(tmp_path / "odd")
    os.mkdir(folder)
    content = (place / "new" / "0.png").read_bytes()
    for name in (b"caf\xe9.png", b"\x1b[31mred.png", b"a\nb.png"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    rows, _ = predict("run", tmp_path / "odd")
    names = ["\\x1b[31mred.png", "a\\nb.png", "caf\\udce9.png"]
    assert [row["path"].rpartition("/")[2] for row in rows] == names
    table = tmp_path / "labels.csv"
    predict("run", tmp_path / "odd", "--output", table)
    assert table.read_text(encoding="utf-8").count("odd/") == 3


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_that_the_output_cannot_show_are_escaped(place, tmp_path, monkeypatch, encoding):
    file = tmp_path / "猫.png"
    file.write_bytes((place / "new" / "0.png").read_bytes())
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setattr(sys, "argv", ["dacbn", "predict", str(place / "run"), str(file)])
    cli.main()
    assert b"\\u732b.png," in written.getvalue()


def test_a_recalibrated_network_labels_and_is_saved(predict, place, tmp_path):
    before = {path.name: path.read_bytes() for path in (place / "run").iterdir()}
    table = ["--add", "probabilities"]
    rows, errors = predict("run", "new", *table, "--recalibrate", "--save", tmp_path / "better")
    assert "statistics estimated on 4 images are rough" in errors
    adapter = DomainAdapter.from_pretrained(place / "run", "cpu")
    files = [place / "new" / f"{number}.png" for number in (0, 1, 3, 4)]
    wanted = adapter.recalibrate(files).predict_proba(files)
    numbers = np.array([list(row.values())[4:] for row in rows if not row["error"]], float)
    np.testing.assert_allclose(numbers, wanted, rtol=1e-4, atol=1e-6)
    assert [row["path"] for row in rows if row["error"]] == ["new/2.png"]
    plain, _ = predict("run", "new", *table)
    assert plain != rows
    again, _ = predict(tmp_path / "better", "new", *table)
    assert again == rows
    assert before == {path.name: path.read_bytes() for path in (place / "run").iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--save", "x"], "--save writes a recalibrated network: add --recalibrate"),
        (["--recalibrate", "--save", "run"], "run holds a run: choose another --save"),
        (["--recalibrate", "--adapt", "tent"], "--adapt and --recalibrate both adapt to the"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_the_work(predict, words, message):
    rows, errors = predict("run", "new", *words, code=1)
    assert rows == [] and message in errors


def test_evaluate_shows_both_scores_of_both_domains_and_saves(place, tmp_path, monkeypatch, capsys):
    root, drawn = tmp_path, np.random.default_rng(1)
    for name in ("s/cup", "s/pen", "t/cup", "t/pen"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = drawn.integers(0, 90, (32, 32, 3)) + 150 * (name in ("s/cup", "t/pen"))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    adapter = DomainAdapter(norm="batch_norm", steps=6, image_size=32, device="cpu")
    adapter.fit(str(root / "s"), str(root / "t"), run=root / "run")
    capsys.readouterr()
    words = ["evaluate", root / "run", "--recalibrate", "--save", root / "better"]
    monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, words), "--device", "cpu"])
    cli.main()
    printed = capsys.readouterr().out.splitlines()
    shown = [line for line in printed if "images to train on" not in line]
    assert [line.split(":")[0] for line in shown[:5]] == [
        *("source test", "target test", f"with statistics re-estimated on {root / 't'}"),
        *("source test", "target test"),
    ]
    loaded = DomainAdapter.from_pretrained(root / "better", "cpu")
    plain = DomainAdapter.from_pretrained(root / "run", "cpu")
    for line, domain, cluster_id in zip(shown[3:5], "st", (0, 1), strict=True):
        after, before = (
            each.score(str(root / domain), cluster_id=cluster_id) for each in (loaded, plain)
        )
        assert f"accuracy {after:.1%} (" in line
        assert f") ({100 * (after - before):+.1f} points), mean of classes" in line
    assert f"wrote {root / 'better'}" in shown[-1]
