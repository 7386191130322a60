"""What holds for every norm that finds clusters: it says which, and what belongs to them."""

from inspect import signature

import pytest
import torch
from norm_cases import FIND_NO_CLUSTERS, SHAPES, run, trained

from dacbn.norms import norms

# They assign by one mixture, that of `mixture()`, and normalise by another.
NORMALISE_BY_ANOTHER = {"uan", "frozen_gate_norm", "unmix_norm"}


def has_clusters_of_its_own(name):
    options = signature(norms[name]).parameters
    return "num_clusters" in options and "cluster ids" not in norms[name].needs


FINDERS = [name for name in norms if has_clusters_of_its_own(name) and name not in FIND_NO_CLUSTERS]


def test_the_list_is_what_it_should_be():
    assert {"ucb_norm", "uan", "mixture_norm", "mode_norm", "latent_domain_norm"} <= {*FINDERS}
    assert {"random_gate_norm", "frozen_gate_norm"} <= {*FINDERS}


@pytest.mark.parametrize("name", [name for name in norms if name not in FINDERS])
def test_a_norm_without_clusters_of_its_own_has_no_mixture(name):
    layer = trained(name).eval()
    assert layer.mixture() is None
    with pytest.raises(NotImplementedError, match="finds no clusters"):
        layer.assignments(torch.randn(8, 4, 1))


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_assignments_are_shares_that_sum_to_one(name, shape):
    layer = trained(name, shape).eval()
    x = torch.randn(shape).reshape(*shape[:2], -1)
    weights = layer.assignments(x)
    num_clusters = layer.num_clusters
    assert weights.shape[:2] == (num_clusters, len(x))
    assert weights.shape[2] in (1, x.shape[1]) and weights.shape[3] in (1, x.shape[2])
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))


@pytest.mark.parametrize("name", FINDERS)
def test_its_mixture_has_a_row_for_each_cluster(name):
    mixture = trained(name).eval().mixture()
    clusters, channels = mixture.mean.shape
    assert (clusters, channels) == (trained(name).num_clusters, 4)
    assert mixture.var.shape == (clusters, channels) and mixture.var.min() > 0
    assert mixture.prior.shape == (clusters, channels if mixture.assign == "channel" else 1)
    torch.testing.assert_close(
        mixture.prior.sum(0), torch.ones_like(mixture.prior[0]), rtol=0, atol=1e-5
    )
    for value in mixture[:3]:
        assert value.dtype == torch.float64 and not value.requires_grad


@pytest.mark.parametrize("name", [name for name in FINDERS if name not in NORMALISE_BY_ANOTHER])
def test_the_output_is_what_mixture_and_assignments_say(name):
    """In evaluation: sum over k of w_k (x - m_k) / sqrt(v_k), but for the priors' factor."""
    options = {"prior_scale": False} if "prior_scale" in signature(norms[name]).parameters else {}
    layer = norms[name](4, affine=False, **options)
    for _ in range(3):
        run(layer, torch.randn(16, 4, 5) * 2 + 1)
    layer.eval()
    x = torch.randn(16, 4, 5)
    mixture = layer.mixture()
    weights = layer.assignments(x).double()
    scaled = (x.double() - mixture.mean[:, None, :, None]) / mixture.var[:, None, :, None].sqrt()
    expected = (weights * scaled).sum(0).float()
    torch.testing.assert_close(run(layer, x), expected, rtol=1e-4, atol=1e-5)
