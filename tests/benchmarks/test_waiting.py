"""Rows of what people wait for measure what they say; how fast anything is, no test asserts."""

import sys
from pathlib import Path

import pytest

from dacbn.benchmarks import benchmark_waiting
from dacbn.benchmarks.waiting import labelling
from dacbn.benchmarks.waiting.builds import SOURCE, Build

TINY = {"rounds": 1, "pixels": 32, "images": 2, "files": 3, "steps": 1}


def test_a_reference_is_a_checkout_or_a_python(tmp_path):
    assert Build.given(SOURCE) == Build(Path(sys.executable), SOURCE)
    assert Build.given(Path(sys.executable)) == Build(Path(sys.executable), None)
    with pytest.raises(ValueError, match="is no checkout of dacbn"):
        Build.given(tmp_path)
    with pytest.raises(ValueError, match=r"give the file bin/python .* or its source folder"):
        Build.given(tmp_path / "python")


def test_a_build_runs_where_it_is_told_and_failures_have_their_reason(tmp_path):
    Build().run(["-c", "open('made', 'w')"], tmp_path)
    assert (tmp_path / "made").exists()
    with pytest.raises(RuntimeError, match=r"ended with: .*a reason"):
        Build().run(["-c", "raise SystemExit('a reason')"], tmp_path)
    Build().run(["-c", "raise SystemExit('a reason')"], tmp_path, fails=True)
    held, more = (Build().peak(["-c", f"b'1' * {n}"], tmp_path) for n in (1, 10**8))
    assert more - held > 0.9e8


def test_a_served_script_works_once_for_each_call(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfor _ in sys.stdin: print(1, file=open('log', 'a')); print(flush=True)"
    )
    with Build().serve(script, [], tmp_path) as call:
        call()
        call()
        assert (tmp_path / "log").read_text().splitlines() == ["1", "1"]
    script.write_text("")
    with Build().serve(script, [], tmp_path) as call, pytest.raises((RuntimeError, OSError)):
        call()


def test_layers_and_memory_have_a_row_each():
    rows = benchmark_waiting(["layers"], shapes=((4, 2, 3, 3), (4, 2)), **TINY)
    assert len(rows) == 12 and all(row["ratio"] > 0 for row in rows)
    assert rows[0] | {"what": "", "ratio": 0, "seconds": 0, "low": 0, "high": 0} == {
        **{"what": "", "threads": 1, "precision": "float32", "layout": "contiguous"},
        **{"size": "(4, 2, 3, 3)", "seconds": 0, "low": 0, "high": 0, "ratio": 0},
        "against": "torch's BatchNorm",
    }
    (row,) = benchmark_waiting(["memory"], **TINY)
    assert 0.9 < row["ratio"] < 1.2 and row["what"].endswith(" MB")


def test_photographs_beyond_the_first_are_links_to_them(tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "KINDS", 2)
    labelling.draw_photos(tmp_path / "photos", 5)
    files = sorted((tmp_path / "photos").iterdir())
    assert [file.name for file in files] == [f"{number:05}.jpg" for number in range(5)]
    assert files[4].samefile(files[0]) and not files[1].samefile(files[0])


def test_rows_that_need_a_reference_are_left_out_without_one():
    assert benchmark_waiting(["start", "train", "analyse"], **TINY) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("start", 6), ("import", 1), ("steps", 4), ("train", 1), ("analyse", 1), ("predict", 1)],
)
def test_each_row_is_measured(name, count):
    rows = benchmark_waiting([name], SOURCE, **TINY)
    assert len(rows) == count and all(row["ratio"] > 0 for row in rows)
