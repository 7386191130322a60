"""Clusters of planted activations are counted, compared and described as they were planted."""

import json

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from planted_activations import BRIGHT, DARK, planted_subject, two_modes
from scipy.stats import norm as gaussian
from torch import nn

from dacbn.analysis.clusters.compute import (
    compute_clusters,
    compute_overlap,
    find_clustering_norms,
    labels_of,
    mean_overlap,
)
from dacbn.analysis.clusters.figures import compute_examples
from dacbn.analysis.clusters.section import describe_clusters, draw_clusters
from dacbn.analysis.observe.assignments import assign_images, mixture_of
from dacbn.analysis.observe.recorder import record
from dacbn.norms import Mixture, Norm, UCBNorm, norms


def look(subject):
    recording = record(subject)
    return compute_clusters(recording, labels_of(subject, recording), len(subject.classes))["norm"]


@pytest.mark.parametrize("assign", ["sample", "position", "channel"])
def test_clusters_that_are_the_domains_are_found_to_be(assign):
    each = look(planted_subject([DARK] * 6, [BRIGHT] * 4, two_modes(assign), noise=5))
    assert each.by_domain == pytest.approx(np.eye(2), abs=1e-3)
    assert each.hard_by_domain.tolist() == [[1, 0], [0, 1]]
    assert each.images_by_domain.tolist() == [[[6, 0], [0, 4]]] * len(each.occupancy)
    assert each.nmi[0] == pytest.approx(1) and each.ari[0] == pytest.approx(1)
    assert each.value_nmi[0] == pytest.approx(1)
    assert each.effective == pytest.approx(2, abs=1e-3)
    assert each.entropy == pytest.approx(np.log(2), abs=1e-3)
    assert each.information == pytest.approx(np.log(2), abs=0.01)
    assert np.isnan(each.nmi[1]) and np.isnan(each.by_class).all()


def test_clusters_that_are_the_classes_are_found_to_be():
    labels = torch.tensor([0, 0, 1, 1])
    values = [DARK, DARK, BRIGHT, BRIGHT]
    each = look(planted_subject(values, values, labels=(labels, labels)))
    assert each.nmi.tolist() == pytest.approx([0, 1], abs=1e-9)
    assert each.ari[1] == pytest.approx(1)
    assert each.by_class == pytest.approx(np.stack([np.eye(2)] * 2), abs=1e-3)
    assert each.images_by_class.tolist() == [[[4, 0], [0, 4]]]


def test_labels_go_with_the_images_that_were_chosen():
    values = [DARK, BRIGHT] * 30
    labels = torch.tensor([0, 1] * 30)
    subject = planted_subject(values, values, labels=(labels, None))
    recording = record(subject, images=20)
    each = compute_clusters(recording, labels_of(subject, recording), 2)["norm"]
    assert each.nmi[1] == pytest.approx(1)
    assert each.images_by_class.sum() == 20
    assert np.isnan(each.by_class[1]).all()


def test_domains_weigh_the_same_however_many_images_they_have():
    each = look(planted_subject([DARK] * 30, [BRIGHT] * 2))
    assert each.occupancy == pytest.approx(np.array([[0.5, 0.5]]), abs=1e-3)


def test_a_cluster_without_activations_is_dead():
    norm = two_modes(num_clusters=3)
    norm.running.mean[1] = 30.0
    each = look(planted_subject([DARK, BRIGHT], [DARK, BRIGHT], norm))
    assert each.dead == pytest.approx(1 / 3)
    assert each.effective == pytest.approx(2, abs=1e-3)
    sentence = describe_clusters({"norm": each})[0]
    assert sentence.startswith("norm: 2 of 3 clusters are in use; occupancy .50/.00/.50")


def test_equal_components_raise_the_alarm_and_carry_no_information():
    norm = UCBNorm(3, 3, assign="sample")
    norm.running.set_components(torch.full((3, 3), 0.5), torch.ones(3, 3))
    each = look(planted_subject([DARK, BRIGHT], [DARK, BRIGHT], norm))
    assert each.overlap == pytest.approx(np.ones((3, 3)))
    assert each.information == pytest.approx(0, abs=1e-6)
    first, *_ = describe_clusters({"norm": each})
    assert first == (
        "norm: components overlap by 1.00: the mixture has collapsed to a single normaliser."
    )


def test_overlap_is_the_integral_of_the_geometric_mean_of_densities():
    mean = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 1.0]], dtype=torch.float64)
    var = torch.tensor([[1.0, 0.5], [0.3, 2.0], [1.5, 0.5]], dtype=torch.float64)
    overlap = compute_overlap(Mixture(torch.full((3, 1), 1 / 3), mean, var, "sample"))
    grid, step = np.linspace(-30, 30, 60_001, retstep=True)
    densities = gaussian.pdf(grid[:, None, None], mean.numpy(), var.sqrt().numpy())
    for one in range(3):
        for other in range(3):
            products = np.sqrt(densities[:, one] * densities[:, other])
            assert overlap[one, other] == pytest.approx((products.sum(0) * step).mean(), abs=1e-6)


def test_components_that_separate_images_but_normalise_alike_are_no_collapse():
    norm = two_modes()
    norm.running.mean.copy_(torch.tensor([[0.45], [0.55]]).expand(2, 3))
    norm.running.var.fill_(0.04)
    each = look(planted_subject([DARK], [BRIGHT], norm))
    assert mean_overlap(each) > 0.95 and each.information > 0.1
    assert "they separate the activations but normalise them almost identically" in str(
        describe_clusters({"norm": each})
    )


def test_only_components_in_use_count_for_the_alarm():
    norm = two_modes(num_clusters=3)
    norm.running.mean[1] = norm.running.mean[0] + 30
    norm.running.mean[2] = norm.running.mean[1]
    each = look(planted_subject([DARK] * 3, [DARK] * 3, norm))
    assert each.overlap[1, 2] == pytest.approx(1)
    assert np.isnan(mean_overlap(each))


def test_components_of_a_channel_are_put_in_order_of_their_means():
    norm = UCBNorm(2, 3, assign="channel")
    norm.running.set_components(
        torch.tensor([[0.0, 9.0], [5.0, 1.0], [10.0, 5.0]]), torch.ones(3, 2)
    )
    norm.running.prior.copy_(torch.tensor([[0.6, 0.5], [0.3, 0.3], [0.1, 0.2]]))
    x = torch.tensor([[[0.0, 0.0, 5.0, 10.0], [9.0, 9.0, 9.0, 1.0]]])
    soft, hard, _ = assign_images(norm, x, torch.arange(2))
    assert hard.tolist() == [[[0.5, 0.25, 0.25], [0.25, 0, 0.75]]]
    expected = norm.assignments(x).mean(3)[:, 0].T  # (C, K)
    expected[1] = expected[1, [1, 2, 0]]
    assert torch.allclose(soft[0], expected)
    mixture = mixture_of(norm)
    assert mixture.mean.T.tolist() == [[0, 5, 10], [1, 5, 9]]
    assert mixture.prior[:, 1].tolist() == pytest.approx([0.3, 0.2, 0.5])


def test_uncertainty_is_the_entropy_of_the_responsibilities():
    norm = two_modes("position")
    x = torch.linspace(0, 1, 24).reshape(2, 3, 4)
    *_, entropy = assign_images(norm, x, torch.arange(3))
    r = norm.assignments(x)
    expected = -(r * r.clamp_min(1e-30).log()).sum(0).mean((1, 2))
    assert torch.allclose(entropy[:, 0], expected, atol=1e-6)


def test_images_are_assigned_in_chunks_as_at_once(monkeypatch):
    norm, x = two_modes("channel"), torch.rand(7, 3, 5)
    whole = assign_images(norm, x, torch.arange(3))
    monkeypatch.setattr("dacbn.analysis.observe.assignments.CHUNK", 60)
    for part, expected in zip(assign_images(norm, x, torch.arange(3)), whole, strict=True):
        assert torch.allclose(part, expected)


def test_examples_belong_to_their_cluster():
    subject = planted_subject([DARK, BRIGHT, DARK, DARK], [BRIGHT] * 3)
    examples = compute_examples(subject, record(subject), "norm", count=2)
    assert (examples["source"][0] == DARK).all()
    assert (examples["source"][1, 0] == BRIGHT).all() and (examples["source"][1, 1] == 255).all()
    assert (examples["target"][0] == 255).all()


def test_the_section_has_figures_arrays_and_a_row_for_each_layer(tmp_path):
    labels = torch.tensor([0, 1, 0, 1])
    values = [DARK, BRIGHT, DARK, BRIGHT]
    section = draw_clusters(planted_subject(values, values, labels=(labels, labels)), tmp_path)
    names = {file.stem for file in section.figures}
    assert names == {
        *("cluster_occupancy", "cluster_classes", "cluster_overlap", "cluster_examples_first"),
    }
    for file in section.figures:
        assert file.suffix == ".png" and imread(file).std() > 0.05  # not an empty page
        assert file.with_suffix(".svg").exists()
    with np.load(tmp_path / "cluster_occupancy.npz") as arrays:
        assert arrays["norm/by_domain"] == pytest.approx(np.full((2, 2), 0.5), abs=1e-3)
    (rows,) = section.tables.values()
    assert [row["layer"] for row in rows] == ["norm"] and rows[0]["NMI class"] == 1
    assert "clusters agree more with the class (NMI 1.00) than with the domain (NMI .00)." in str(
        section
    )
    json.dumps(section.tables)


def test_many_layers_are_counted_instead_of_listed():
    each = look(planted_subject([DARK] * 4, [BRIGHT] * 4))
    sentences = describe_clusters({f"layer{number}": each for number in range(20)})
    assert len(sentences) <= 4 and sentences[0].startswith("In 0 of 20 layers")


def test_a_network_without_mixtures_raises_with_the_analyses_that_apply(tmp_path):
    subject = planted_subject([1, 2], [3, 4], nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match=r"has a mixture.*distances apply.*mode_norm.*ucb_norm"):
        draw_clusters(subject, tmp_path)
    assert not list(tmp_path.iterdir())


def test_norms_that_find_clusters_are_named_as_they_are_registered():
    found = find_clustering_norms()
    assert {"ucb_norm", "uan", "mixture_norm", "latent_domain_norm"} <= set(found)
    assert not {"batch_norm", "group_norm", "context_batch_norm"} & set(found)
    assert all(norms[name](4).mixture() is not None for name in found)


class Brightness(Norm):
    """Assigns dark and bright values to two clusters, and normalises nothing."""

    def normalise(self, x):
        """Return x."""
        return x

    def mixture(self):
        """Return two clusters."""
        mean = torch.tensor([[0.2], [0.8]], dtype=torch.float64).expand(2, 3)
        return Mixture(mean.new_full((2, 1), 0.5), mean, torch.full_like(mean, 0.01), "sample")

    def assignments(self, x):
        """Assign images by their mean."""
        bright = x.mean((1, 2)) > 0.5
        return torch.stack([~bright, bright]).float()[:, :, None, None]


def test_a_norm_of_ones_own_has_a_section(tmp_path):
    subject = planted_subject([DARK] * 4, [BRIGHT] * 4, Brightness(3))
    section = draw_clusters(subject, tmp_path)
    assert [row["layer"] for row in section.tables["Clusters by layer"]] == ["norm"]
    assert section.arrays["cluster_occupancy"]["norm/by_domain"].tolist() == [[1, 0], [0, 1]]
