"""Distances between planted domains, against scipy, slow loops and closed forms."""

import numpy as np
import pytest
import torch
from planted_activations import DARK, OneNorm, flat_images, planted_subject
from scipy.stats import wasserstein_distance
from torch import nn

from dacbn.analysis.domains.distances import (
    compute_distances,
    draw_distances,
    standardised_wasserstein,
    unbiased_mmd,
    values_of,
    wasserstein,
)
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.subject import Sample, Subject


@pytest.mark.parametrize("sizes", [(50, 50), (50, 31), (1, 7)])
def test_wasserstein_is_scipys_in_every_channel(sizes):
    random = np.random.default_rng(sum(sizes))
    first, second = (random.normal(i, 1 + i, (size, 4)).round(1) for i, size in enumerate(sizes))
    expected = [wasserstein_distance(first[:, c], second[:, c]) for c in range(4)]
    assert wasserstein(first, second) == pytest.approx(np.array(expected))


def test_a_shift_is_measured_in_standard_deviations():
    values = np.random.default_rng(0).normal(5, 3, (2000, 1))
    assert standardised_wasserstein(values, values + 6) == pytest.approx(6 / values.std(), rel=1e-9)
    both = np.concatenate([values, 0 * values + 1], 1)
    assert np.isnan(standardised_wasserstein(both, both)).tolist() == [False, True]


def test_the_discrepancy_is_that_of_the_slow_loop():
    random = np.random.default_rng(1)
    first, second = random.normal(0, 1, (7, 3)), random.normal(1, 1, (5, 3))
    both = [*first, *second]
    pairs = [(i, j) for i in range(12) for j in range(i)]
    scale = np.median([((both[i] - both[j]) ** 2).sum() for i, j in pairs])

    def kernel(a, b):
        return np.exp(-((a - b) ** 2).sum() / (2 * scale))

    within = [
        np.mean([kernel(group[i], group[j]) for i in range(n) for j in range(n) if i != j])
        for group, n in ((first, 7), (second, 5))
    ]
    between = np.mean([kernel(a, b) for a in first for b in second])
    assert unbiased_mmd(first, second) == pytest.approx(sum(within) - 2 * between)


def test_the_discrepancy_of_equal_distributions_is_zero_on_average():
    random = np.random.default_rng(2)
    draws = [unbiased_mmd(*random.normal(0, 1, (2, 20, 2))) for _ in range(200)]
    assert min(draws) < 0 < max(draws)
    assert abs(np.mean(draws)) < 3 * np.std(draws) / 200**0.5
    assert unbiased_mmd(np.zeros((5, 2)), np.zeros((5, 2))) == pytest.approx(0)


def test_a_norm_that_knows_the_domains_brings_them_together(tmp_path):
    class PerImage(OneNorm):
        def forward(self, images):
            return super().forward(images)

    network = PerImage(nn.InstanceNorm2d(3))
    samples = {
        "source": Sample(flat_images([60] * 40, 8, noise=40, seed=1), 0),
        "target": Sample(flat_images([180] * 40, 8, noise=40, seed=2), 1),
    }
    subject = Subject("planted", network, samples, ("a",))
    distances = compute_distances(record(subject))
    before, after = distances.wasserstein[0]
    sigma = np.sqrt(np.mean((np.arange(81) - 40.0) ** 2))
    assert before == pytest.approx(120 / sigma, rel=0.05)
    assert after < 0.1 and distances.mmd[0, 0] > 0.5 > 0.1 > abs(distances.mmd[0, 1])
    assert (distances.wasserstein_floor < 0.15).all()
    section = draw_distances(subject, tmp_path)
    assert section.findings[0].startswith("Normalisers bring the domains closer in 1 of 1 layers")
    assert section.figures[0].exists()
    with np.load(tmp_path / "domain_distances.npz") as arrays:
        assert arrays["wasserstein"].tolist() == distances.wasserstein.tolist()


def test_every_image_gives_as_many_values():
    positions = torch.arange(30000.0).reshape(3000, 10, 1)
    values = values_of(positions)
    assert len(values) == 3000 * 6
    assert (np.bincount((values[:, 0] // 10).astype(int)) == 6).all()


def test_distances_need_two_domains_and_some_images():
    subject = planted_subject([DARK] * 5, [DARK] * 3)
    with pytest.raises(ValueError, match="target has 3 images: distances need at least 4"):
        compute_distances(record(subject))
    alone = Subject("alone", subject.network, {"source": subject.samples["source"]}, ("a",))
    with pytest.raises(ValueError, match="only one domain, source: distances need two"):
        compute_distances(record(alone))


def test_layers_whose_output_is_constant_are_left_out_of_the_sentences(tmp_path):
    norm = nn.BatchNorm2d(3)
    nn.init.zeros_(norm.weight)
    subject = planted_subject([DARK] * 6, [DARK + 30] * 6, norm, noise=9)
    distances = compute_distances(record(subject))
    assert distances.wasserstein[0, 0] > 1 and np.isnan(distances.wasserstein[0, 1])
    assert distances.mmd[0, 1] == pytest.approx(0, abs=1e-9)
    section = draw_distances(subject, tmp_path)
    assert section.findings == (
        "No normaliser has activations that vary both before and after it.",
    )
    (rows,) = section.tables.values()
    assert rows[0]["Wasserstein after"] == ""
