"""Norms that receive domain ids get a cluster for each domain."""

import pytest

from dacbn.models import create_network, takes_cluster_ids
from dacbn.models.domain_clusters import clusters_for_domains
from dacbn.norms import norms
from dacbn.norms.contract import Need


@pytest.mark.parametrize("name", sorted(norms))
def test_only_norms_that_receive_ids_change(name):
    found = clusters_for_domains(name, 4)
    if Need.CLUSTER_IDS in norms[name].needs:
        assert found == f"{name}(num_clusters=4)"
    else:
        assert found == name


def test_options_and_weight_maps_stay():
    given = "domain_specific_batch_norm(momentum=0.3) + weight_standardization"
    wanted = "domain_specific_batch_norm(momentum=0.3, num_clusters=3) + weight_standardization"
    assert clusters_for_domains(given, 3) == wanted
    assert clusters_for_domains(given, 2) == given


def test_a_number_that_is_given_must_suffice():
    assert clusters_for_domains("scb_norm(num_clusters=6)", 4) == "scb_norm(num_clusters=6)"
    with pytest.raises(ValueError, match="has 3 clusters, and there are 4 domains: leave out"):
        clusters_for_domains("scb_norm(num_clusters=3)", 4)


def test_a_network_says_whether_ids_matter_to_it():
    assert takes_cluster_ids(create_network("digits_cnn", "scb_norm", 3))
    assert takes_cluster_ids(create_network("digits_cnn", None, 3, input_norm="scb_norm"))
    assert not takes_cluster_ids(create_network("digits_cnn", "ucb_norm", 3))
