"""Pictures of features: the same images of every network, in one frame, and the numbers beside."""

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

from dacbn.analysis.domains.embedding_figures import (
    Embedded,
    draw_embeddings,
    plot_by_class,
    plot_by_domain,
)
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.domains.planes import MAX_POINTS
from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.presentation.style import CLASS_COLOURS, DOMAIN_COLOURS

KNOWN = Scores(1.5, 0.25, float("nan"))


def output(count, seed, labelled=True):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    features = random.normal(size=(count, 4)) + 5 * np.eye(4)[labels]
    return DomainOutput(features, np.eye(3)[labels], labels if labelled else None)


def draw(folder, counts=(12, 9), networks=("before", "after")):
    outputs = {
        name: {
            "source": output(counts[0], seed),
            "target": output(counts[1], 100 + seed, labelled=False),
        }
        for seed, name in enumerate(networks)
    }
    scores = {name: KNOWN for name in networks}
    return outputs, draw_embeddings(outputs, scores, ("a", "b", "c"), folder, perplexity=3)


def test_the_arrays_hold_every_image_of_every_network_in_one_plane(tmp_path):
    outputs, section = draw(tmp_path)
    with np.load(section.figures[0].with_suffix(".npz")) as arrays:
        for name, of in outputs.items():
            assert arrays[f"{name}/points"].shape == (21, 2)
            assert arrays[f"{name}/domains"].tolist() == [0] * 12 + [1] * 9
            labels = [*of["source"].labels, *of["target"].predictions]
            assert arrays[f"{name}/labels"].tolist() == labels


def test_the_numbers_are_beside_the_picture(tmp_path):
    _, section = draw(tmp_path)
    (rows,) = section.tables.values()
    assert [row["network"] for row in rows] == ["before", "after"]
    assert rows[0]["proxy distance"] == 1.5 and rows[0]["target silhouette"] == ""
    assert 0 <= rows[0]["trustworthiness"] <= 1
    # 2 (1 - 2 e) = 1.5 is an error of one in eight
    assert section.findings[0].startswith("before: a linear classifier predicts the domain")
    assert "accuracy of 88% (proxy A-distance 1.50 of 2)" in section.findings[0]


def test_no_more_images_are_drawn_than_can_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("dacbn.analysis.domains.planes.MAX_POINTS", 40)
    _, section = draw(tmp_path, counts=(60, 60))
    with np.load(section.figures[0].with_suffix(".npz")) as arrays:
        assert [len(arrays[f"{name}/points"]) for name in ("before", "after")] == [40, 40]
    assert MAX_POINTS >= 1000


def test_a_single_network_can_be_drawn(tmp_path):
    _, section = draw(tmp_path, networks=("trained",))
    assert section.figures[0].exists()


def test_points_have_the_colour_of_their_class_and_of_their_domain():
    points = np.arange(12.0).reshape(6, 2)
    labels, domains = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    axes = Figure().subplots(1, 2)
    plot_by_class(Embedded(points, labels, domains), ("a", "b", "c"), axes[0])
    plot_by_domain(Embedded(points, labels, domains), axes[1])
    assert [text.get_text() for text in axes[0].texts] == ["a", "b", "c"]
    for place, palette, keys in ((0, CLASS_COLOURS, labels), (1, DOMAIN_COLOURS, domains)):
        shown = {}
        for dots in axes[place].collections:
            for spot, colour in zip(dots.get_offsets(), dots.get_facecolor(), strict=True):
                shown[tuple(spot)] = matplotlib.colors.to_hex(colour).upper()
        for spot, key in zip(points, keys, strict=True):
            assert shown[tuple(spot)] == palette[key].upper()


def test_a_small_sample_is_refused(tmp_path):
    outputs = {"trained": {"source": output(5, 0), "target": output(5, 1)}}
    with pytest.raises(ValueError, match="needs more than 90 images, got 10"):
        draw_embeddings(outputs, {"trained": KNOWN}, ("a", "b", "c"), tmp_path)
