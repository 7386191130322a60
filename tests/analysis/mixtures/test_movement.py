"""Snapshots of a training, and what the mixtures in them did."""

import numpy as np
import pytest
import torch

from dacbn import DomainAdapter
from dacbn.analysis.mixtures.movement import compute_movement, describe_movement, draw_movement
from dacbn.training import find_snapshots, load_weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8).numpy()
    labels = np.arange(40) % 2
    options = {"steps": 5, "source_batch_size": 4, "target_batch_size": 4, "device": "cpu"}
    norm = "ucb_norm(num_clusters=2)"
    adapter = DomainAdapter(norm=norm, snapshot_every=2, checkpoint_every=0, **options)
    adapter.fit((images, labels), images, run=folder)
    return folder


def test_snapshots_are_networks_of_their_steps(run):
    assert list(find_snapshots(run)) == [2, 4]
    adapter = DomainAdapter.from_pretrained(run)
    means = []
    for snapshot in find_snapshots(run).values():
        load_weights(run, adapter.network, snapshot)
        means.append(adapter.network.backbone.layers[2].running.mean.clone())
    movement = compute_movement(run)["backbone.layers.2"]
    assert movement.steps.tolist() == [2, 4] and movement.mean.shape == (2, 2, 32)
    for found, mean in zip(movement.mean, means, strict=True):
        assert np.allclose(found, mean.sort(0).values)
    assert movement.prior.sum(1) == pytest.approx(1)


def test_how_far_components_moved_is_in_standard_deviations(run):
    movement = compute_movement(run)["backbone.layers.6"]
    difference = (movement.mean[1] - movement.mean[0]) / np.sqrt(movement.var[0])
    assert movement.moved[0] == pytest.approx(np.sqrt((difference**2).mean(1)))


def test_components_that_move_apart_are_described_so(run):
    movements = compute_movement(run)
    one = movements["backbone.layers.2"]
    parting = np.stack([np.full((2, 2), 0.9), np.full((2, 2), 0.2)])
    (sentence,) = describe_movement({"bn": one._replace(overlap=parting)})
    assert sentence.startswith("bn: from step 2 to 4 components moved apart (overlap 0.90 to 0.20)")
    (sentence,) = describe_movement({"bn": one._replace(overlap=parting[::-1])})
    assert "came closer (overlap 0.20 to 0.90)" in sentence


def test_movement_is_drawn(run, tmp_path):
    section = draw_movement(run, tmp_path)
    assert section.figures[0].stat().st_size > 5000 and len(section.findings) == 2
    with np.load(tmp_path / "cluster_movement.npz") as arrays:
        assert arrays["backbone.layers.2/mean"].shape == (2, 2, 32)


def test_a_run_without_snapshots_raises_with_the_option_that_makes_them(run, tmp_path):
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((run / file).read_bytes())
    with pytest.raises(
        ValueError, match=r"0 snapshots, but movement needs two.* snapshot_every=20"
    ):
        compute_movement(tmp_path)


def test_negative_snapshots_are_refused():
    with pytest.raises(ValueError, match="snapshot_every must be at least 0, got -1"):
        DomainAdapter(snapshot_every=-1)
