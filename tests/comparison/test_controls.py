"""Which controls a claim needs."""

import pytest

from dacbn.comparison import controls_of
from dacbn.models import create_network, resolve_norm
from dacbn.norms import norms
from dacbn.registry import UnknownNameError

INPUT = ("input standardisation", "batch_norm", (("input_norm", "instance_norm"),))


def test_a_mixture_is_controlled_by_its_gate_its_size_and_its_input():
    spec = "ucb_norm(num_clusters=5, assign='sample', prior_scale=True, momentum=0.2)"
    gate = "num_clusters=5, assign='sample', momentum=0.2"
    single = "ucb_norm(num_clusters=1, assign='sample', prior_scale=True, momentum=0.2)"
    assert controls_of(spec) == [
        ("one cluster", single, ()),
        ("random gates", f"random_gate_norm({gate})", ()),
        ("frozen gates", f"frozen_gate_norm({gate})", ()),
        ("matched parameters", "matched_batch_norm(num_clusters=5, momentum=0.2)", ()),
        INPUT,
    ]


def test_the_size_of_a_mixture_that_says_none_is_its_default():
    assert "matched_batch_norm(num_clusters=2)" in [c.norm for c in controls_of("mode_norm")]
    assert "random_gate_norm(num_clusters=3)" in [c.norm for c in controls_of("ucb_norm")]


def test_a_normaliser_that_knows_domains_is_controlled_by_its_ids_and_its_input():
    spec = "domain_specific_batch_norm"
    assert controls_of(spec) == [
        ("random cluster ids", spec, (("cluster_ids", "random"),)),
        ("swapped cluster ids", spec, (("cluster_ids", "swapped"),)),
        INPUT,
    ]


def test_maps_of_the_weights_stay():
    controls = controls_of("ucb_norm + weight_standardization")
    for control in controls[:-1]:
        assert control.norm.endswith(" + weight_standardization")


@pytest.mark.parametrize("norm", ["batch_norm", "group_norm(num_groups=4)", "random_gate_norm"])
def test_what_claims_no_clusters_needs_none(norm):
    assert controls_of(norm) == []


@pytest.mark.parametrize("norm", list(norms))
def test_every_control_can_be_built(norm):
    for control in controls_of(norm):
        resolve_norm(control.norm)
        options = dict(control.changes)
        id_source = options.pop("cluster_ids", "domain")
        create_network("digits_cnn", control.norm, 3, id_source=id_source, **options)


def test_an_unknown_norm_names_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"Known: .*ucb_norm"):
        controls_of("ubc_norm")
