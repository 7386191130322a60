"""Damage in a run folder is found before it does harm, and what can be had back is."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from dacbn.adapter import DomainAdapter
from dacbn.training import RunFolderError, read_records, read_run_info
from dacbn.training.records import Records


@pytest.fixture
def run(tiny, source, target, tmp_path):
    tiny().fit(source, target, run=tmp_path)
    return tmp_path


@pytest.fixture
def resume(source, target):
    def go(run, **options):
        config = {**vars(read_run_info(run).config), **options}
        return DomainAdapter(**config).fit(source, target, run=run, resume=True)

    return go


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("position", [-1, -2000, -20_000])
def test_a_flipped_bit_in_the_weights_is_found(run, position):
    flip(run / "model.safetensors", position)
    with pytest.raises(RunFolderError, match=r"damaged \(its checksum differs\): write it anew"):
        DomainAdapter.from_pretrained(run, device="cpu")


def test_a_flipped_bit_in_the_checkpoint_is_found(run, resume):
    path = run / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    weight = next(t for t in state["method"].values() if t.numel() > 999 and t.is_contiguous())
    flip(path, path.read_bytes().index(weight.numpy().tobytes()) + 1)
    assert torch.load(path, weights_only=True)  # torch itself does not notice
    before = contents(run)
    with pytest.raises(RunFolderError, match=r"checkpoint\.pt is damaged \(the checksum of"):
        resume(run)
    assert contents(run) == before


def test_weights_without_a_checksum_are_read(run, weights):
    expected = weights(DomainAdapter.from_pretrained(run, device="cpu"))
    save_file(load_file(run / "model.safetensors"), run / "model.safetensors")
    assert weights(DomainAdapter.from_pretrained(run, device="cpu")) == expected


def test_equal_weights_give_equal_files(run, tmp_path):
    # safetensors 0.8 writes several entries of metadata in another order in every process
    adapter = DomainAdapter.from_pretrained(run, device="cpu")
    adapter.save_pretrained(tmp_path / "copy")
    copy = (tmp_path / "copy" / "model.safetensors").read_bytes()
    assert copy == (run / "model.safetensors").read_bytes()
    header = json.loads(copy[8 : 8 + int.from_bytes(copy[:8], "little")])
    assert len(header["__metadata__"]) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_served(run, value):
    tensors = load_file(run / "model.safetensors")
    tensors["classifier.weight"][0, 0] = value
    save_file(tensors, run / "model.safetensors")
    with pytest.raises(RunFolderError, match=r"holds NaN or infinity in classifier\.weight"):
        DomainAdapter.from_pretrained(run, device="cpu")


def test_a_checkpoint_that_is_not_finite_is_not_resumed(run, resume):
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    state["method"]["network.classifier.weight"][0, 0] = torch.nan
    torch.save(state, run / "checkpoint.pt")
    before = contents(run)
    with pytest.raises(RunFolderError, match="infinite or NaN"):
        resume(run)
    assert contents(run) == before


@pytest.mark.parametrize("step", [-5, None, 1.5, True, "x", torch.tensor(2), 10**30])
def test_a_checkpoint_of_no_step_is_refused_before_anything_is_written(run, resume, step):
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    torch.save({**state, "step": step}, run / "checkpoint.pt")
    before = contents(run)
    with pytest.raises(ValueError, match=r"no checkpoint: its step is|has trained 10+ steps"):
        resume(run)
    assert contents(run) == before


class Runs:
    """Runs a command when it is loaded."""

    def __reduce__(self):
        return print, ("it ran",)


def test_a_checkpoint_that_holds_code_is_not_loaded(run, resume, capsys):
    torch.save({"step": 2, "method": Runs()}, run / "checkpoint.pt")
    before = contents(run)
    with pytest.raises(RunFolderError, match=r"checkpoint\.pt holds code .* do not trust it"):
        resume(run)
    assert contents(run) == before and "it ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [torch.ones(2), [1], 5, None])
def test_a_checkpoint_that_is_no_dictionary_is_refused(run, resume, content):
    torch.save(content, run / "checkpoint.pt")
    with pytest.raises(RunFolderError, match="no checkpoint: it must be a dictionary, got"):
        resume(run)


@pytest.mark.parametrize("part", ["step", "method", "optimizer", "average", "cuda_random"])
@pytest.mark.parametrize("value", [None, "x", {}, [1]])
def test_a_checkpoint_with_a_strange_part_changes_nothing_if_refused(run, resume, part, value):
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    torch.save({**state, part: value}, run / "checkpoint.pt")
    before = contents(run)
    try:
        resume(run)
    except RunFolderError:
        assert contents(run) == before
    else:
        assert part in ("average", "cuda_random")  # not used without an average or a GPU


def test_an_optimiser_of_another_shape_is_refused(run, resume):
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(7)
    torch.save({**state, "step": 4}, run / "checkpoint.pt")
    before = contents(run)
    with pytest.raises(RunFolderError, match="exp_avg of the optimiser has another shape"):
        resume(run)
    assert contents(run) == before


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: flip(path, -1)])
def test_lost_weights_come_back_from_the_checkpoint(run, resume, spoil):
    before = contents(run)
    spoil(run / "model.safetensors")
    resume(run)
    assert contents(run) == before


def test_fewer_steps_than_were_trained_are_refused(run, resume):
    before = contents(run)
    with pytest.raises(ValueError, match="has trained 6 steps already: steps must be at least"):
        resume(run, steps=5)
    assert contents(run) == before


LINES = [f'{{"step": {step}, "lr": 0.1}}\n' for step in range(1, 6)]
DAMAGED = [
    '{"step": 3, "l\n',
    "\n",
    "[1]\n",
    "5\n",
    '{"a": 1}\n',
    '{"step": 3, "lr": "x"}\n',
    '{"step": 3, "lr": true}\n',
    '{"step": 3, "lr": 1' + "0" * 400 + "}\n",
    '{"step": "3"}\n',
    '{"step": -3}\n',
    "[" * 99999,
]


@pytest.mark.parametrize("damaged", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_is_lost_alone_and_the_file_is_kept(tmp_path, damaged):
    text = "".join([*LINES[:2], damaged.rstrip("\n") + "\n", *LINES[3:]])
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.warns(UserWarning, match=r"metrics\.jsonl is damaged in line 3 \(.+\): left out"):
        assert [row["step"] for row in read_records(tmp_path)] == [1, 2, 4, 5]
    with pytest.warns(UserWarning, match=r"in line 3 \(.+\): left out, and the file is kept as"):
        Records(tmp_path, resume_at=4)
    assert (tmp_path / "metrics.jsonl.damaged").read_text() == text
    assert [row["step"] for row in read_records(tmp_path)] == [1, 2, 4]


def test_a_damaged_line_is_said_with_what_it_should_be(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "accuracy": "x"}\n[1]\n')
    wanted = r"in line 1, 2 \(accuracy must be a number, got 'x'\): left out"
    with pytest.warns(UserWarning, match=wanted):
        assert read_records(tmp_path) == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e-45", "-0.0", "3", "1e308"])
def test_every_number_that_training_can_reach_is_a_record(tmp_path, number):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "loss": {number}}}\n')
    assert [row["step"] for row in read_records(tmp_path)] == [1]


def test_records_that_are_no_text_are_kept_aside(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\xff\xfe\x00\x81\n" * 3)
    with pytest.warns(UserWarning, match=r"damaged in line 1, 2, 3 .*: left out, and"):
        assert Records(tmp_path, resume_at=4).rows == []
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == b"\xff\xfe\x00\x81\n" * 3


def test_records_that_cannot_be_read_are_kept_aside(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.warns(UserWarning, match=r"cannot read .* it is kept as .*metrics\.jsonl\.damaged"):
        Records(tmp_path, resume_at=4)
    assert (tmp_path / "metrics.jsonl.damaged").is_dir()


def test_missing_records_are_said(tmp_path):
    with pytest.warns(UserWarning, match=r"metrics\.jsonl is missing: records begin where"):
        Records(tmp_path, resume_at=4)


@pytest.mark.parametrize("name", ["steps", "norm", "data_root"])
def test_a_config_that_lacks_a_setting_is_refused_by_name(run, name):
    content = json.loads((run / "config.json").read_text())
    del content["training"][name]
    (run / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match=f"config.json .* it lacks '{name}'"):
        read_run_info(run)


# What config.json held in the first version; a setting added since has Role.ADDED.
FIRST = """source target data_root download image_size augment on_unreadable backbone pretrained
norm norm_sites norm_replaces input_norm cluster_ids classifier method steps source_batch_size
target_batch_size optimizer lr schedule weight_decay clip_norm ema_decay seed device precision
compile log_every eval_every checkpoint_every snapshot_every validators tensorboard"""


def test_the_config_of_the_first_version_can_be_read(run):
    content = json.loads((run / "config.json").read_text())
    content["training"] = {name: content["training"][name] for name in FIRST.split()}
    (run / "config.json").write_text(json.dumps(content))
    assert read_run_info(run).config.steps == 6


def test_a_run_from_elsewhere_downloads_nothing(run, tmp_path, monkeypatch):
    content = json.loads((run / "config.json").read_text())
    there = tmp_path / "there"
    content["training"] |= {"download": True, "data_root": str(there)}
    content["training"] |= {"source": "mnist", "target": "mnist"}
    (run / "config.json").write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match="MNIST"):
        DomainAdapter.from_pretrained(run, device="cpu").evaluate("mnist")
    with pytest.raises(FileNotFoundError, match="MNIST"):
        DomainAdapter.from_run(run).fit("mnist", "mnist", run=run, resume=True)
    assert not there.exists()
