"""Shards: several processes train parts of one comparison, and the tables are made of all."""

import dataclasses
import sys

import pytest
from same_runs import same_runs, tiny_digits

from dacbn import cli
from dacbn.comparison import (
    Plan,
    Shard,
    choose_variants,
    make_grid,
    run_comparison,
    run_leave_one_out,
)
from dacbn.comparison.turns import in_turn
from dacbn.training import FolderInUseError, TrainConfig, claim

OPTIONS = {
    **{"steps": 3, "source_batch_size": 4, "target_batch_size": 4, "image_size": 16},
    **{"log_every": 1, "eval_every": 2, "device": "cpu"},
}
VARIANTS = choose_variants(["batch_norm", "ucb_norm(num_clusters=2)"], ["source_only"])


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    source, target = tiny_digits(tmp_path_factory.mktemp("digits"))
    return TrainConfig(source=source, target=target, **OPTIONS)


def test_two_shards_make_what_one_process_makes(config, tmp_path):
    cells = make_grid(config, VARIANTS, 2)
    one = run_comparison(tmp_path / "one", config, cells)
    first = run_comparison(tmp_path / "two", config, cells, Plan(shard=Shard(1, 2)))
    assert [result.state for result in first] == ["finished"] * 2 + ["missing"] * 2
    assert "4 cells: 2 finished, 2 missing." in (tmp_path / "two" / "comparison.md").read_text()
    both = run_comparison(tmp_path / "two", config, cells, Plan(shard=Shard(2, 2)))
    assert [result.accuracies for result in both] == [result.accuracies for result in one]
    same_runs(tmp_path / "one" / "runs", tmp_path / "two" / "runs")
    assert not (tmp_path / "two" / ".lock").exists()


def test_shards_share_the_cells_of_all_comparisons_that_leave_one_out(config, tmp_path):
    every = TrainConfig(source=config.source + config.target, **OPTIONS)
    for number in (1, 2):
        plan = Plan(shard=Shard(number, 2))
        results = run_leave_one_out(tmp_path, every, VARIANTS[:1], 1, plan)
        assert [result.state for result in results].count("finished") == number
    text = (tmp_path / "leave_one_out.md").read_text()
    assert len([line for line in text.splitlines() if line.startswith("| batch_norm")]) == 2


def test_cells_train_with_the_threads_of_those_before_them(config, tmp_path, caplog):
    config = dataclasses.replace(config, steps=1)
    cells = make_grid(config, VARIANTS[:1], 2)
    caplog.set_level("INFO", "dacbn")
    run_comparison(tmp_path, config, cells, Plan(shard=Shard(1, 2), cpus=2))
    run_comparison(tmp_path, config, cells, Plan(shard=Shard(2, 2)))  # torch has one here
    assert (tmp_path / "comparison.json").read_text().count('"threads": "2"') == 1
    assert "each cell trains with 2 threads, as those before it; cpus=1 changes" in caplog.text


def test_shards_wait_for_their_turn_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("dacbn.comparison.turns.PATIENCE", 0.2)
    with claim(tmp_path), pytest.raises(FolderInUseError), in_turn(tmp_path):
        pass
    with in_turn(tmp_path):
        pass


def test_the_command_says_what_is_missing_and_refuses_what_is_no_shard(
    config, tmp_path, monkeypatch, capsys
):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    domains = ["--source", config.source[0], "--target", config.target[0], "--seeds", "1"]
    words = ["dacbn", "compare", *domains, *options, "--methods", "source_only"]
    words += ["--output", str(tmp_path / "out"), "--shard"]
    monkeypatch.setattr(sys, "argv", [*words, "1/2"])
    cli.main()
    assert "1 of 2 trainings are missing; the other shards train them" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*words, "17/16"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "dacbn: --shard is which part of how many, from 1/16 to 16/16: got 17/16" in (
        capsys.readouterr().err
    )
