"""A worker that does not see the run folder gets what was begun, and sends files back."""

from pathlib import Path

import pytest
import torch
from same_runs import same_runs, tiny_digits

from dacbn.adapter import DomainAdapter
from dacbn.comparison import choose_variants, make_grid, run_comparison
from dacbn.comparison.remote_cell import Task, read_files, train_remotely, write_files
from dacbn.spelling import as_argument
from dacbn.training import InterruptedTraining, TrainConfig

OPTIONS = {
    **{"steps": 3, "source_batch_size": 4, "target_batch_size": 4, "image_size": 16},
    **{"log_every": 1, "checkpoint_every": 1, "device": "cpu"},
}


@pytest.fixture
def cell(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)  # once in a process
    source, target = tiny_digits(tmp_path)
    config = TrainConfig(source=source, target=target, **OPTIONS)
    return make_grid(config, choose_variants(["batch_norm"], ["source_only"]), 1)[0]


def task(cell, folder, begun):
    nowhere = Path("/nowhere")
    return Task(cell, folder, nowhere / "mark", begun, 1, Path.cwd(), as_argument)


def test_without_a_shared_disk_files_come_back_and_a_stopped_cell_goes_on(
    cell, tmp_path, monkeypatch
):
    run_comparison(tmp_path / "one", cell.config, [cell])
    folder, fit = tmp_path / "two" / "runs" / cell.name, DomainAdapter.fit
    import dacbn.training.loop as loop

    def save_and_stop(place, state):
        save(place, state)
        raise InterruptedTraining("stopped after step 1 of 3")

    save = loop.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_stop)
        stopped = train_remotely(task(cell, folder, {}))
    assert (stopped.state, stopped.text) == ("missing", "stopped after step 1 of 3")
    assert not folder.exists() and "checkpoint.pt" in stopped.files
    write_files(folder, stopped.files)
    begun, steps = read_files(folder, with_checkpoint=True), []

    def watched(self, *words, **options):
        steps.append(options["resume"])
        return fit(self, *words, **options)

    monkeypatch.setattr(DomainAdapter, "fit", watched)
    outcome = train_remotely(task(cell, folder, begun))
    assert outcome.state == "finished" and steps == [True]
    assert "checkpoint.pt" not in outcome.files and outcome.machine["threads"] == "1"
    write_files(folder, outcome.files)
    same_runs(tmp_path / "one" / "runs", tmp_path / "two" / "runs")
