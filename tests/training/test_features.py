"""Training of a head: the backbone runs once per image and view, and everything else is as ever."""

import pytest
import torch

from dacbn.adapter import DomainAdapter
from dacbn.batch import SOURCE
from dacbn.datasets import FeatureViews, UnlabelledImages, iterate, labelled, stream_target
from dacbn.methods import methods
from dacbn.models import create_network
from dacbn.training import features
from dacbn.training.features import compute_features

CPU = torch.device("cpu")
NEED_IMAGES = ("adamatch", "fixmatch", "vada")


def numbered(count, views):
    """Return features that name their image and view: 10 * image + view."""
    values = 10.0 * torch.arange(count)[:, None, None] + torch.arange(views)[:, None]
    return FeatureViews(values, size=8)


def test_a_stream_draws_among_the_views_and_all_else_sees_the_images():
    stored = numbered(7, 3)
    assert torch.cat(list(iterate(stored, 4, CPU)))[:, 0].tolist() == [0, 10, 20, 30, 40, 50, 60]
    options = {"batch_size": 5, "family": "photos", "seed": 3, "device": CPU}
    batches = list(stream_target(UnlabelledImages(stored), start=0, stop=60, **options))
    for images, rows in batches:
        assert torch.equal(images[:, 0] // 10, rows.float())
    drawn = torch.cat([images for images, _ in batches])
    shares = (drawn % 10).flatten().long().bincount(minlength=3) / len(drawn)
    assert (shares - 1 / 3).abs().max() < 0.1
    later = next(stream_target(UnlabelledImages(stored), start=59, stop=60, **options))
    assert torch.equal(later.target_images, batches[59].target_images)


@pytest.mark.parametrize("norm", ["ucb_norm", "domain_specific_batch_norm"])
def test_features_stand_for_their_images(source, norm):
    images = labelled(*source).images
    network = create_network("digits_cnn", norm, 3, bottleneck=4)
    stored = compute_features(network, images, SOURCE, "none", CPU)
    assert network.training and stored.values.shape == (20, 1, 1200)
    network.eval()
    (batch,), ids = iterate(images, 20, CPU), torch.zeros(20, dtype=torch.int64)
    for one, other in zip(network(batch, ids), network(stored.values[:, 0], ids), strict=True):
        torch.testing.assert_close(one, other)


def test_views_differ_and_the_first_is_the_image(source):
    images, network = labelled(*source).images, create_network("digits_cnn", None, 3)
    plain = compute_features(network, images, SOURCE, "none", CPU).values
    views = compute_features(network, images, SOURCE, "photos", CPU, seed=1).values
    assert views.shape == (20, features.VIEWS, 1200)
    torch.testing.assert_close(views[:, :1], plain)
    assert all(not views[:, 0].equal(views[:, view]) for view in range(1, features.VIEWS))
    again = compute_features(network, images, SOURCE, "photos", CPU, seed=1).values
    assert again.equal(views)


def test_memory_is_bounded(source, monkeypatch):
    images, network = labelled(*source).images, create_network("digits_cnn", None, 3)
    monkeypatch.setattr(features, "MAX_BYTES", 4 * 1200 * 50)
    assert compute_features(network, images, SOURCE, "photos", CPU).values.shape[1] == 2
    monkeypatch.setattr(features, "MAX_BYTES", 4 * 1200 * 19)
    assert compute_features(network, images, SOURCE, "photos", CPU).values.shape[1] == 1


@pytest.mark.parametrize("name", list(methods))
def test_every_method_trains_a_head_or_says_why_not(tiny, source, target, name):
    options = {"train": "head", "bottleneck": 8, "method": name, "steps": 2, "augment": "none"}
    if name in NEED_IMAGES:
        with pytest.raises(ValueError, match=f"{name} changes images, and train='head'"):
            tiny(**options)
        return
    adapter = tiny(**options)
    few = target if methods[name].takes_labelled_target else None
    adapter.fit(source, target, target_test=target, target_labelled=few)
    torch.manual_seed(0)
    kind = {"bottleneck": 8, "classifier_temperature": methods[name].classifier_temperature}
    fresh = create_network("digits_cnn", adapter.config.norm, 2, **kind).state_dict()
    for key, value in adapter.network.state_dict().items():
        if not key.startswith("unknown."):  # an output that osbp adds
            assert value.equal(fresh[key]) == key.startswith(("backbone.", "pixel_")), key


def test_scores_on_features_are_those_of_the_saved_network(tiny, source, target, tmp_path):
    options = {"train": "head", "method": "dann", "augment": "none"}
    adapter = tiny(**options).fit(
        source, target, source_test=source, target_test=target, run=tmp_path
    )
    again = DomainAdapter.from_pretrained(tmp_path, device="cpu")
    assert adapter.records[-1]["source_test_accuracy"] == again.score(source, cluster_id=SOURCE)
    assert adapter.records[-1]["target_test_accuracy"] == again.score(target)
    assert again.config.bottleneck == 256 == again.network.num_features


def test_the_backbone_runs_once_per_image_and_view(tiny, source, target, monkeypatch):
    seen = []
    run = features.Network.run_backbone
    monkeypatch.setattr(
        features.Network,
        "run_backbone",
        lambda self, images, ids: [seen.append(len(images)), run(self, images, ids)][1],
    )
    options = {"train": "head", "method": "source_only", "augment": "photos", "eval_every": 2}
    tiny(**options).fit(source, target, source_test=source)
    check = 1  # of the image size
    assert sum(seen) == check + features.VIEWS * (20 + 17) + 20


def test_a_head_is_adapted_without_the_source(tiny, source, target):
    options = {"train": "head", "method": "source_only", "augment": "none", "bottleneck": 8}
    adapter = tiny(**options).fit(source, target)
    before = {name: value.clone() for name, value in adapter.network.state_dict().items()}
    adapter.adapt(target[0], "shot", target_test=target, steps=2)
    after = adapter.network.state_dict()
    moved = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert moved == {"bottleneck"}
    assert adapter.records[-1]["target_test_accuracy"] == adapter.score(target)
