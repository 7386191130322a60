"""What a run folder holds, and what is said of one that was spoilt."""

import json
import shutil

import pytest
import torch

from dacbn.adapter import DomainAdapter
from dacbn.training import (
    DivergedError,
    RunFolderError,
    load_checkpoint,
    read_records,
    read_run_info,
    save_network,
)
from dacbn.training.records import Records


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    adapter = DomainAdapter(
        steps=2, source_batch_size=4, target_batch_size=4, log_every=1, device="cpu"
    )
    adapter.fit("digits", "color_digits", run=folder)
    return folder


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def open_run(folder):
    """Use all the files of a run: the weights first, then the state."""
    DomainAdapter.from_pretrained(folder, device="cpu")
    DomainAdapter.from_run(folder).fit("digits", "color_digits", run=folder, resume=True)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_run_leaves_what_it_promises(run):
    names = {"config.json", "metrics.jsonl", "model.safetensors", "checkpoint.pt"}
    assert {path.name for path in run.iterdir()} == names
    assert json.loads((run / "config.json").read_text())["versions"].keys() == {
        "python",
        "torch",
        "timm",
    }


def test_all_files_can_be_read_by_the_same_people(run):
    assert len({path.stat().st_mode for path in run.iterdir()}) == 1


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "checkpoint.pt"])
@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\xfe\x00 no such thing" * 40),
        lambda path: path.write_text('{"training": {"stepz": 3}, "classes": 1}'),
        lambda path: path.write_text("[]"),
    ],
    ids=["truncated", "empty", "binary", "other", "list"],
)
def test_a_spoilt_file_is_named_in_one_line(run, name, spoil):
    spoil(run / name)
    with pytest.raises(RunFolderError) as caught:
        open_run(run)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", ["nowhere", "empty", "file", "file/below"])
def test_what_is_no_run_folder_is_called_so(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"is no run folder.*Give a folder that dacbn train"):
        read_run_info(tmp_path / folder)
    with pytest.raises(RunFolderError, match=r"cannot read .*metrics\.jsonl \(N.* directory\)"):
        read_records(tmp_path / folder)


def test_weights_of_another_network_are_refused(run):
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"digits_cnn"', '"resnet10t"'))
    with pytest.raises(RunFolderError, match=r"does not fit its config\.json"):
        DomainAdapter.from_pretrained(run, device="cpu")


@pytest.mark.parametrize("options", [{"norm": None}, {"optimizer": "sgd"}, {"ema_decay": 0.9}])
def test_a_run_is_not_resumed_under_other_settings(run, options):
    changed = {**vars(read_run_info(run).config), **options}
    with pytest.raises(ValueError, match=f"began with another {next(iter(options))}: resume it"):
        DomainAdapter(**changed).fit("digits", "color_digits", run=run, resume=True)


def test_a_finished_run_can_be_made_longer(run):
    longer = {**vars(read_run_info(run).config), "steps": 3, "eval_every": 0}
    adapter = DomainAdapter(**longer).fit("digits", "color_digits", run=run, resume=True)
    assert [row["step"] for row in adapter.records] == [1, 2, 3]
    assert read_run_info(run).config.steps == 3


def test_a_run_without_weights_yet_is_told_from_a_damaged_one(run):
    (run / "model.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"no model\.safetensors: .* dacbn train --resume"):
        DomainAdapter.from_pretrained(run)


def test_a_run_that_ended_before_its_first_checkpoint_can_be_resumed(
    tiny, source, target, weights, tmp_path
):
    with pytest.raises(DivergedError):
        tiny(lr=1e30, checkpoint_every=0).fit(source, target, run=tmp_path)
    adapter = DomainAdapter.from_run(tmp_path)
    assert adapter.config.lr == 1e30 and load_checkpoint(tmp_path) is None
    resumed = tiny().fit(source, target, run=tmp_path, resume=True)
    assert [row["step"] for row in read_records(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert weights(resumed) == weights(tiny().fit(source, target))


def test_two_runs_do_not_mix_in_one_folder(tiny, source, target, run):
    with pytest.raises(ValueError, match="holds a run: pass resume=True, or choose another folder"):
        tiny().fit(source, target, run=run)


def test_resuming_needs_a_folder(tiny, source, target):
    with pytest.raises(ValueError, match="give its folder as run="):
        tiny().fit(source, target, resume=True)


def test_a_last_line_cut_short_is_left_out(run):
    whole = read_records(run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "classif')
    assert read_records(run) == whole
    with Records(run, resume_at=1) as records:
        records.add(2, {"lr": 0.5})
    assert [row["step"] for row in read_records(run)] == [1, 2]


def test_a_layer_used_twice_can_be_saved(made, tmp_path):
    network = DomainAdapter.from_pretrained(made, device="cpu").network
    network.backbone.again = network.backbone.layers[0]
    save_network(tmp_path, network)
    assert (tmp_path / "model.safetensors").exists()


def test_tensorboard_events_are_written_on_request(tiny, source, target, tmp_path):
    pytest.importorskip("tensorboard")
    tiny(tensorboard=True, steps=1).fit(source, target, run=tmp_path)
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_a_missing_tensorboard_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install \"dacbn\[tensorboard\]\""):
        Records(tmp_path, tensorboard=True)


def test_a_checkpoint_holds_no_code(run):
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] == 2
