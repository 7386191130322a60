"""Cells on workers, by Ray: equal to those of one process, and they survive what happens."""

import time

import pytest
from same_runs import same_runs, tiny_digits

from dacbn.comparison import Plan, choose_variants, make_grid, run_comparison
from dacbn.training import TrainConfig

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'dacbn[ray]'")

OPTIONS = {
    **{"steps": 3, "source_batch_size": 4, "target_batch_size": 4, "image_size": 16},
    **{"log_every": 1, "eval_every": 2, "checkpoint_every": 1, "device": "cpu"},
}
BATCH_NORM = choose_variants(["batch_norm"], ["source_only"])
LOCAL = Plan(workers=2, cpus=1)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return tiny_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def config(digits):
    return TrainConfig(source=digits[0], target=digits[1], **OPTIONS)


def test_two_workers_make_what_one_process_makes(config, tmp_path, caplog):
    variants = choose_variants(["batch_norm", "ucb_norm(num_clusters=2)"], ["source_only"])
    cells = make_grid(config, variants, 1)
    # one that fails on its worker: a file is where its folder should be
    failing = make_grid(config, choose_variants(["group_norm"], ["source_only"]), 1)
    (tmp_path / "two" / "runs").mkdir(parents=True)
    (tmp_path / "two" / "runs" / failing[0].name).touch()
    one = run_comparison(tmp_path / "one", config, cells)
    caplog.set_level("INFO", "dacbn")
    two = run_comparison(tmp_path / "two", config, cells, LOCAL)
    assert [result.accuracies for result in two] == [result.accuracies for result in one]
    (tmp_path / "two" / "runs" / failing[0].name).unlink()
    same_runs(tmp_path / "one" / "runs", tmp_path / "two" / "runs")
    assert "2 cells: 2 running, 0 waiting, 0 done, 0 failed" in caplog.text
    assert "0 running, 0 waiting, 2 done, 0 failed" in caplog.text
    machines = [(tmp_path / name / "comparison.json").read_text() for name in ("one", "two")]
    assert machines[0] == machines[1]
    started = time.monotonic()
    assert run_comparison(tmp_path / "two", config, cells, LOCAL) == two
    assert time.monotonic() - started < 1, "Ray starts though nothing is to be trained"
