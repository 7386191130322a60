"""Normalisers that share statistics within groups of processes, and averages over the groups."""

import pytest
import torch
from groups_on_processes import in_groups
from launching import launch

GROUPS = (slice(0, 5), slice(5, 10))  # rows of processes 0 and 1, and of 2 and 3


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return launch(in_groups, 4, tmp_path_factory.mktemp("four"))


def test_each_group_normalises_by_its_own_rows(found):
    x = found[0]["x"]
    parts = [x[rows] for rows in GROUPS]
    wanted = torch.cat([(p - p.mean(0)) / (p.var(0, correction=0) + 1e-5).sqrt() for p in parts])
    for each in found:
        assert each["rows"] == [5], "the rows of a group, not of all"
        assert torch.allclose(each["output"].detach(), wanted, rtol=0, atol=1e-10)


def test_running_statistics_are_the_mean_of_the_groups_on_all(found):
    x = found[0]["x"]
    means = [0.1 * x[rows].mean(0) for rows in GROUPS]
    for rank, each in enumerate(found):
        assert torch.allclose(each["own"]["running_mean"], means[rank // 2], atol=1e-10)
        averaged = each["averaged"]["running_mean"]
        assert torch.allclose(averaged, (means[0] + means[1]) / 2, atol=1e-10)
        assert torch.equal(averaged, found[0]["averaged"]["running_mean"])
