"""Adaptation of runs with several domains, or without a target; answers that need no domain."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dacbn import DomainAdapter, cli
from dacbn.training import adaptation_config, read_records, start_network

BY_ID = "domain_specific_batch_norm"


@pytest.fixture
def domains():
    """Four domains of bright and dark images, each with a ground of its own."""
    random, labels = np.random.default_rng(0), np.array([0, 1] * 10)
    shape = (20, 32, 32, 3)
    return [
        ((random.integers(0, 60, shape) + 30 * n + 60 * labels[:, None, None, None]), labels)
        for n in range(4)
    ]


@pytest.fixture
def places(domains, tmp_path, monkeypatch):
    """The four domains as files."""
    monkeypatch.chdir(tmp_path)
    for name, (images, labels) in zip("abtu", domains, strict=True):
        np.savez(f"{name}.npz", images=images.astype(np.uint8), labels=labels)
    return [f"{name}.npz" for name in "abtu"]


@pytest.fixture
def run_cli(monkeypatch, capsys):
    """Build a function that runs a command, and returns what it printed."""

    def run(*words, fails=False):
        monkeypatch.setattr(sys, "argv", ["dacbn", *words])
        try:
            cli.main()
        except SystemExit:
            assert fails
        return "".join(capsys.readouterr())

    return run


def build(norm=BY_ID, **options):
    few = {"steps": 3, "source_batch_size": 8, "target_batch_size": 8, "device": "cpu"}
    return DomainAdapter(norm=norm, **{"method": "dann", "log_every": 1, **few, **options})


@pytest.mark.parametrize("norm", [BY_ID, f"{BY_ID}(num_clusters=6)", "scb_norm"])
@pytest.mark.parametrize("target", ["t.npz", "u.npz"])
def test_an_adapted_run_of_several_targets_can_be_read(places, norm, target):
    a, b, t, u = places
    build(norm, method="source_only").fit([a, b], [t, u], run="run")
    adapter = DomainAdapter.from_pretrained("run", "cpu")
    before = adapter.predict_proba(target, cluster_id=target)
    adapter.adapt(target, run="adapted", steps=1, lr=1e-9, target_batch_size=20)
    assert np.isfinite(before).all()
    read = DomainAdapter.from_pretrained("adapted", "cpu")
    assert read.config.target == (target,)
    assert np.allclose(read.predict_proba(target), adapter.predict_proba(target))
    read.adapt(target, run="again", steps=1)
    assert DomainAdapter.from_pretrained("again", "cpu").predict(target).shape == (20,)


def test_an_adaptation_starts_from_the_statistics_of_its_target(places):
    a, b, t, u = places
    adapter = build(method="source_only").fit([a, b], [t, u])
    config = adaptation_config(adapter.config, u, "shot", {})
    start = start_network(adapter.network, adapter.config, config)
    trained, given = _means(adapter.network), _means(start)
    assert torch.equal(given, trained[[0, 1, 3, 2]])
    assert start.num_domains == 3 and adapter.network.num_domains == 4
    adapter.adapt(u, steps=1)
    moved = (_means(adapter.network) != given).any(1)
    assert moved.tolist() == [False, False, True, False]


def _means(network):
    layer = next(each for each in network.modules() if hasattr(each, "num_clusters"))
    return layer.running.mean.clone()


def test_features_of_no_target_train_and_score_as_images_do(places):
    a, b, t, _ = places
    for norm in ("batch_norm", BY_ID):
        adapter = build(norm, train="head", eval_every=3).fit(
            [a, b], None, target_test=t, run=f"run_{norm}"
        )
        scored = read_records(Path(f"run_{norm}"))[-1]["target_test_accuracy"]
        assert scored == pytest.approx(adapter.score(t))


def test_norms_that_know_no_domains_need_none_to_answer(places):
    a, b, t, u = places
    adapter = build("batch_norm").fit([a, b], [t, u])
    assert np.array_equal(adapter.predict(t), adapter.predict(t, cluster_id="t.npz"))
    with pytest.raises(ValueError, match="there is no domain 'x'"):
        adapter.predict(t, cluster_id="x")


def test_adapt_asks_which_of_several_targets(places, run_cli):
    train = "train --steps 1 --image-size 32 --norm batch_norm --method dann --device cpu"
    run_cli(
        *train.split(), "--source", "a.npz", "b.npz", "--target", "t.npz", "u.npz", "--run", "r"
    )
    words = "r has several targets: pass --target t.npz or u.npz"
    assert words in " ".join(run_cli("adapt", "r", fails=True).split())
    run_cli(*train.split(), "--source", "a.npz", "b.npz", "--target", "none", "--run", "n")
    assert "without a target: pass --target" in run_cli("adapt", "n", fails=True)


def test_targets_that_share_statistics_are_recalibrated_one_at_a_time(places, run_cli):
    train = "train --steps 1 --image-size 32 --method dann --device cpu --source a.npz"
    both = ["--target", "t.npz", "u.npz"]
    run_cli(*train.split(), *both, "--norm", "batch_norm", "--run", "r")
    assert "add --target t.npz or u.npz" in run_cli("evaluate", "r", "--recalibrate", fails=True)
    run_cli("evaluate", "r", "--recalibrate", "--target", "u.npz")
    run_cli(*train.split(), *both, "--norm", BY_ID, "--run", "own")
    assert "statistics re-estimated on t.npz, u.npz" in run_cli("evaluate", "own", "--recalibrate")
