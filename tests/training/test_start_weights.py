"""Trainings that start from a file of weights, and runs that need it no more."""

import json
import socket
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from dacbn import DomainAdapter, cli
from dacbn.analysis.observe.run_folder import build_untrained
from dacbn.analysis.observe.subject import Subject
from dacbn.comparison import choose_variants, make_grid, run_comparison
from dacbn.models import PretrainedWeightsError, create_backbone
from dacbn.models.weights_file import hash_weights
from dacbn.training import (
    RunFolderError,
    TrainConfig,
    create_state,
    load_checkpoint,
    pin_weights,
    read_run_info,
)
from dacbn.training.checkpoint import CHECKPOINT

SMALL = {"steps": 2, "source_batch_size": 6, "target_batch_size": 6, "log_every": 1}
SMALL |= {"device": "cpu", "validators": ()}
IMAGES, LABELS = (
    np.random.default_rng(0).integers(0, 256, (12, 32, 32), np.uint8),
    np.arange(12) % 2,
)


def write(path, seed):
    torch.manual_seed(seed)
    tensors = create_backbone("digits_cnn").state_dict()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


@pytest.fixture
def weights(tmp_path):
    return write(tmp_path / "start.safetensors", 7)


@pytest.fixture
def run(tmp_path, weights):
    DomainAdapter(weights=weights, **SMALL).fit((IMAGES, LABELS), IMAGES, run=tmp_path / "run")
    return tmp_path / "run"


def go_on(run, **options):
    adapter = DomainAdapter(**{**SMALL, "steps": 3, **options})
    return adapter.fit((IMAGES, LABELS), IMAGES, run=run, resume=True)


def test_a_training_starts_from_the_file(weights):
    config = TrainConfig.from_options(weights=weights, norm=None, **SMALL)
    network = create_state(config, 2, 32, torch.device("cpu")).network
    torch.manual_seed(7)
    for name, tensor in create_backbone("digits_cnn").state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], tensor), name


@pytest.mark.parametrize(("norm", "said"), [("instance_norm", True), ("batch_norm", False)])
def test_a_training_says_that_a_norm_does_not_keep_the_function(weights, norm, said, caplog):
    tensors = load_file(weights)
    tensors |= {name: value + 1 for name, value in tensors.items() if "running_mean" in name}
    save_file(tensors, weights)
    caplog.set_level("INFO", "dacbn")
    create_state(TrainConfig.from_options(weights=weights, norm=norm), 2, 32, torch.device("cpu"))
    notes = [text for text in caplog.messages if "cannot start with the function" in text]
    assert (len(notes) == 1) == said


def test_the_settings_keep_the_name_as_given_and_the_hash(run, weights):
    kept = json.loads((run / "config.json").read_text())["training"]
    assert (kept["weights"], kept["weights_sha256"]) == (weights, hash_weights(weights))


def test_a_finished_run_needs_the_file_no_more(run, weights, tmp_path):
    (tmp_path / "start.safetensors").unlink()
    adapter = DomainAdapter.from_pretrained(run, device="cpu")
    assert adapter.predict(IMAGES).shape == (12,)
    adapter = DomainAdapter.from_run(run)
    assert adapter.fit((IMAGES, LABELS), IMAGES, run=run, resume=True).network is not None
    adapter.adapt(IMAGES, run=tmp_path / "adapted", steps=1)
    assert read_run_info(tmp_path / "adapted").config.weights == weights


def test_a_resume_notices_another_file(run, tmp_path):
    write(tmp_path / "start.safetensors", 8)
    with pytest.raises(ValueError, match="began with another weights_sha256"):
        go_on(run, weights=str(tmp_path / "start.safetensors"))
    with pytest.raises(ValueError, match=r"began with another augment, weights_sha256, norm"):
        go_on(run)


def test_the_same_file_elsewhere_is_the_same(run, tmp_path):
    again = write(tmp_path / "moved.safetensors", 7)
    go_on(run, weights=again)
    assert load_checkpoint(run)["step"] == 3


def test_a_run_that_begins_again_notices_another_file(run, tmp_path):
    for name in (CHECKPOINT, "model.safetensors"):
        (run / name).unlink()
    write(tmp_path / "start.safetensors", 8)
    with pytest.raises(PretrainedWeightsError, match="is not the file that these settings began"):
        DomainAdapter.from_run(run).fit((IMAGES, LABELS), IMAGES, run=run, resume=True)


@pytest.mark.usefixtures("few_digits")
def test_a_comparison_notices_another_file(weights, tmp_path):
    config = TrainConfig.from_options(weights=weights, **SMALL, source="digits", target="digits")
    cells = make_grid(config, choose_variants(["batch_norm"], ["source_only"]), 1)
    first = run_comparison(tmp_path / "grid", config, cells)
    assert [result.why for result in first] == [""]
    write(tmp_path / "start.safetensors", 8)
    with pytest.raises(ValueError, match="holds a comparison with another weights_sha256"):
        run_comparison(tmp_path / "grid", config, cells)


def test_a_file_that_does_not_fit_is_refused_before_training(tmp_path):
    save_file({"conv.weight": torch.ones(2)}, tmp_path / "w.safetensors")
    adapter = DomainAdapter(weights=str(tmp_path / "w.safetensors"), **SMALL)
    with pytest.raises(PretrainedWeightsError, match="does not fit digits_cnn"):
        adapter.fit((IMAGES, LABELS), IMAGES, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_things_to_start_from_contradict_each_other(weights):
    with pytest.raises(ValueError, match="weights and pretrained both say what to start from"):
        DomainAdapter("test_resnet", weights=weights, pretrained=True)


def test_settings_without_a_file_have_no_hash():
    assert pin_weights(TrainConfig()) == TrainConfig()


@pytest.fixture
def no_network(monkeypatch):
    def fail(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", fail)


def test_what_cannot_be_reached_is_said_before_images_are_read(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PretrainedWeightsError, match="Network is unreachable"):
        DomainAdapter("test_resnet", pretrained=True).fit("no/where", "no/where")
    with pytest.raises(ValueError, match="unknown backbone 'resnet81'"):
        DomainAdapter("resnet81").fit("no/where", "no/where")


@pytest.mark.parametrize(
    "theirs",
    [
        {"pretrained": True, "backbone": "test_resnet.r160_in1k", "weights": None},
        {"weights": "/nowhere/w.pth"},
        {"weights": "/dev/zero"},
    ],
)
def test_a_report_on_a_run_from_elsewhere_asks_neither_network_nor_file(run, no_network, theirs):
    content = json.loads((run / "config.json").read_text())
    content["training"] |= theirs
    (run / "config.json").write_text(json.dumps(content))
    info = read_run_info(run)
    subject = Subject("x", DomainAdapter(**SMALL), {}, info.classes)
    with pytest.raises(RunFolderError, match=r"are not on this machine|no file of weights"):
        build_untrained(subject, info)


@pytest.mark.usefixtures("few_digits")
def test_the_command_line_says_what_was_taken(tmp_path, weights, monkeypatch, capsys):
    options = [*("--steps", "1"), *("--device", "cpu"), *("--run", str(tmp_path / "run"))]
    options += ["--source-batch-size", "4", "--target-batch-size", "4", "--validators"]
    monkeypatch.setattr(sys, "argv", ["dacbn", "train", *options, "--weights", weights])
    cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert f"12 tensors of the backbone taken from {weights}" in lines
    assert any(line.startswith("next: dacbn evaluate") for line in lines)
