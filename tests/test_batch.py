"""Domain ids."""

import pytest
import torch

from dacbn.batch import NUM_DOMAINS, SOURCE, TARGET, domain_ids


@pytest.mark.parametrize("domain", [SOURCE, TARGET, 2])
def test_every_image_gets_the_id_of_its_domain(domain):
    ids = domain_ids(3, domain, torch.device("cpu"))
    assert ids.dtype == torch.int64 and ids.tolist() == [domain] * 3
    assert domain_ids(0, domain, torch.device("cpu")).shape == (0,)


def test_domains_are_numbered_from_0_with_the_source_first():
    assert list(range(NUM_DOMAINS)) == [SOURCE, TARGET]
