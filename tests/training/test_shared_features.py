"""Features that the trainings of a comparison share: computed once, and never those of another."""

import errno
import json
import os
import tempfile
from importlib import import_module
from shutil import rmtree

import pytest
import torch

from dacbn.comparison import choose_variants, make_grid, run_comparison
from dacbn.comparison.files import write_files
from dacbn.comparison.grid import FROZEN
from dacbn.datasets import TensorImages, labelled
from dacbn.models import Network, create_network
from dacbn.training import StorageError, TrainConfig
from dacbn.training.features import compute_features
from dacbn.training.shared_features import of_seed, sharing_features

UMASK = os.umask(0o022)
os.umask(UMASK)
CPU = torch.device("cpu")


@pytest.fixture
def passes(monkeypatch):
    """Count the passes of images through a backbone."""
    counted, run = [], Network.run_backbone

    def counting(network, images, *ids):
        counted.append(len(images))
        return run(network, images, *ids)

    monkeypatch.setattr(Network, "run_backbone", counting)
    return counted


def test_what_is_the_same_is_computed_once(source, passes, tmp_path):
    images, network = labelled(*source).images, create_network("digits_cnn", "ucb_norm", 3)
    plain = compute_features(network, images, 0, "photos", CPU)
    with sharing_features(tmp_path, TrainConfig()):
        first = compute_features(network, images, 0, "photos", CPU)
    done = len(passes)
    torch.nn.init.zeros_(network.classifier.weight)  # the backbone is the same
    with sharing_features(tmp_path, TrainConfig(method="cdan", seed=3, steps=9)):
        again = compute_features(network, images, 0, "photos", CPU)
    assert len(passes) == done
    assert plain.values.equal(first.values) and first.values.equal(again.values)


def test_damaged_files_are_computed_again_and_others_may_read_them(source, passes, tmp_path):
    images, network = labelled(*source).images, create_network("digits_cnn", "ucb_norm", 3)
    found = []
    for _ in range(2):
        with sharing_features(tmp_path, TrainConfig()):
            found.append(compute_features(network, images, 0, "none", CPU).values)
        (file,) = tmp_path.rglob("*.npy")
        assert file.stat().st_mode & 0o044 == 0o044 & ~UMASK
        os.truncate(file, 100)
    assert found[0].equal(found[1]) and len(passes) == 2


def test_features_that_would_fill_the_memory_stay_in_a_file(source, passes, tmp_path, monkeypatch):
    images, network = labelled(*source).images, create_network("digits_cnn", "ucb_norm", 3)
    known = compute_features(network, images, 0, "none", CPU).values
    monkeypatch.setattr("dacbn.training.features.MAX_BYTES", 4 * 1200 * 19)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    found = [compute_features(network, images, 0, "photos", CPU).values]
    assert not any((tmp_path / "temporary").iterdir())
    for seed in (0, 1):
        with sharing_features(tmp_path / "shared", TrainConfig(seed=seed)):
            found += [compute_features(network, images, 0, "photos", CPU).values for _ in range(2)]
    assert len(passes) == 3  # in memory, in a file, and once for all that share them
    assert all(each.equal(known) and each.is_cpu for each in found)
    monkeypatch.setattr("dacbn.training.shared_features._write", full)
    with pytest.raises(StorageError, match="the disk is full"):
        compute_features(network, images, 0, "none", CPU)


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("few_digits")
def test_features_of_a_seed_go_when_its_cells_are_done(tmp_path, monkeypatch):
    config = TrainConfig.from_options(
        source="digits", target="digits", train="head", steps=2, eval_every=0, device="cpu",
        norm="batch_norm", validators=(),
    )  # fmt: skip
    cells = make_grid(config, choose_variants(["batch_norm"], ["mcc", "bnm"]), 2)
    runs, kept = tmp_path / "runs", []

    def write(*args):
        kept.append(sorted(each.name for each in (runs / "features").glob("*")))
        return write_files(*args)

    monkeypatch.setattr(import_module("dacbn.comparison.run_comparison"), "write_files", write)
    results = run_comparison(tmp_path, config, cells)
    assert [result.why for result in results] == [""] * 4
    assert kept == [[], ["seed0"], ["seed0"], ["seed1"], ["seed1"], []]


@pytest.mark.parametrize(
    ("family", "weights", "shared"),
    [("none", "start.pth", True), ("none", None, False), ("photos", "start.pth", False)],
)
def test_images_have_the_same_features_for_every_seed(
    source, passes, tmp_path, family, weights, shared
):
    images, network = labelled(*source).images, create_network("digits_cnn", "ucb_norm", 3)
    found = []
    for seed in (3, 4):
        with sharing_features(tmp_path, TrainConfig(seed=seed, weights=weights)):
            found.append(compute_features(network, images, 0, family, CPU, seed).values)
        rmtree(of_seed(tmp_path, seed), ignore_errors=True)  # as a comparison does between seeds
    assert found[0].equal(found[1]) == (family == "none")
    assert len(passes) == (1 if shared else 2) * (4 if family == "photos" else 1)


def test_all_that_features_depend_on_makes_others(source, passes, tmp_path):
    images, network = labelled(*source).images, create_network("digits_cnn", "ucb_norm", 3)
    pixels = images.gather(torch.arange(len(images)))

    def computed(images=images, cluster_id=0, family="photos", seed=0, **settings):
        before = len(passes)
        with sharing_features(tmp_path, TrainConfig(**settings)):
            compute_features(network, images, cluster_id, family, CPU, seed)
        return len(passes) > before

    assert computed() and not computed()
    changed = pixels.clone()
    changed[3, 0, 0, 0] ^= 1
    assert computed(TensorImages(changed)) and not computed(TensorImages(pixels))
    assert computed(cluster_id=1) and computed(family="none") and computed(seed=1)
    assert computed(norm="batch_norm") and computed(cluster_ids="random")
    with torch.no_grad():
        next(network.backbone.parameters())[0] += 1e-3
    assert computed() and not computed()


@pytest.mark.usefixtures("few_digits")
def test_a_comparison_of_heads_runs_the_backbone_once(source, passes, tmp_path, monkeypatch):
    config = TrainConfig.from_options(
        source="digits", target="digits", train="head", steps=2, eval_every=0, device="cpu",
        norm="batch_norm", validators=(),
    )  # fmt: skip
    found = []
    for methods in (["mcc"], ["mcc", "bnm", "source_only"]):
        cells = make_grid(config, choose_variants(["batch_norm"], methods), 1)
        passes.clear()
        results = run_comparison(tmp_path / str(len(methods)), config, cells)
        assert [result.why for result in results] == [""] * len(methods)
        found.append(sum(count > 8 for count in passes))  # fewer are of a trial of the network
    assert found[0] == found[1] > 0
    assert not (tmp_path / "3" / "runs" / "features").exists()  # nothing is left to train


@pytest.mark.usefixtures("few_digits")
def test_a_comparison_of_pretrained_weights_has_a_row_of_the_probe(tmp_path):
    from safetensors.torch import save_file

    from dacbn.models.backbones import create_backbone

    weights = tmp_path / "start.safetensors"
    state = create_backbone("digits_cnn").state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights)
    config = TrainConfig.from_options(
        source="digits", target="digits", weights=str(weights), steps=2, eval_every=0,
        device="cpu", norm="batch_norm", validators=(),
    )  # fmt: skip
    variants = choose_variants(["batch_norm"], ["dann", "source_only"], probe=FROZEN)
    results = run_comparison(tmp_path / "out", config, make_grid(config, variants, 1))
    assert [result.why for result in results] == ["", "", ""]
    kept = tmp_path / "out" / "runs" / "source_only-batch_norm-head-seed0" / "config.json"
    training = json.loads(kept.read_text())["training"]
    assert (training["train"], training["bottleneck"]) == ("head", 0)
    assert "batch_norm (control: linear probe)" in (tmp_path / "out/comparison.md").read_text()
