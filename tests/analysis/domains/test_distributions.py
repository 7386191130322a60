"""Histograms and mixtures are drawn to one true scale."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from planted_activations import BRIGHT, DARK, planted_subject, two_modes
from scipy.stats import norm as gaussian
from torch import nn

from dacbn.analysis.domains.distributions import (
    component_densities,
    compute_distribution,
    compute_distributions,
    draw_distributions,
    plot_distribution,
)
from dacbn.analysis.observe.recorder import record


def test_components_are_scipys_densities_times_their_shares():
    points = np.linspace(-4, 4, 9)
    prior, mean, var = np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([0.5, 2.0])
    expected = [
        p * gaussian.pdf(points, m, v**0.5) for p, m, v in zip(prior, mean, var, strict=True)
    ]
    assert component_densities(points, prior, mean, var) == pytest.approx(np.array(expected))


def test_domains_and_mixture_have_the_areas_they_should():
    random = np.random.default_rng(0)
    samples = [random.normal(-2, 0.5, 5000), random.normal(2, 1, 800)]
    mixture = np.array([0.5, 0.5]), np.array([-2.0, 2.0]), np.array([0.25, 1.0])
    each = compute_distribution(samples, mixture)
    areas = (each.domains * np.diff(each.edges)).sum(1)
    assert areas == pytest.approx([0.5, 0.5], abs=0.002)
    area = np.trapezoid(each.components.sum(0), each.points)
    assert area == pytest.approx(1, abs=0.01)
    middle = (each.edges[1:] + each.edges[:-1]) / 2
    drawn = np.array([np.interp(middle, each.points, c) for c in each.components])
    assert np.abs(drawn - each.domains).max() < 0.06
    assert each.distance == pytest.approx(4 / np.sqrt((0.25 + 1) / 2), rel=0.03)


def test_what_is_drawn_are_the_arrays():
    values = np.random.default_rng(1).normal(0, 1, 500)
    mixture = np.array([0.4, 0.6]), np.array([-1.0, 1.0]), np.array([1.0, 1.0])
    each = compute_distribution([values, values + 1], mixture)
    axes = Figure().subplots()
    plot_distribution(each, axes)
    total = axes.lines[-1].get_ydata()
    assert total == pytest.approx(each.components.sum(0))
    outlines = [patch.get_data().values for patch in axes.patches]
    assert outlines[0] == pytest.approx(each.domains.sum(0))
    assert outlines[1] == pytest.approx(each.domains[0])


def test_a_constant_channel_can_be_shown():
    each = compute_distribution([np.zeros(9), np.zeros(9)])
    assert np.isnan(each.distance) and each.domains.sum() > 0


def test_the_channels_shown_are_those_that_tell_domains_apart():
    subject = planted_subject([DARK] * 8, [DARK] * 8, noise=9)
    subject.samples["target"].images.pixels[:, 1] += 100
    described = compute_distributions(record(subject), channels=1)
    assert list(described["norm"]) == [1]
    before, after = described["norm"][1]
    assert before.components.shape == (2, 400) and after.components.size == 0


def test_an_unrecorded_layer_is_refused():
    recording = record(planted_subject([1, 2], [3, 4]))
    with pytest.raises(ValueError, match=r"bn7 was not recorded; there are: norm$"):
        compute_distributions(recording, layers=["bn7"])


@pytest.mark.parametrize("norm", [two_modes(), nn.BatchNorm2d(3)], ids=["mixture", "batch norm"])
def test_a_figure_before_and_one_after_any_normaliser(norm, tmp_path):
    subject = planted_subject([DARK] * 5, [BRIGHT] * 5, norm, noise=9)
    section = draw_distributions(subject, tmp_path)
    names = [file.name for file in section.figures]
    assert names == ["distributions_before.png", "distributions_after.png"]
    assert all(file.stat().st_size > 5000 for file in section.figures)
    assert "the domains differ most in channel" in section.findings[0]
