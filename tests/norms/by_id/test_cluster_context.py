"""The ids a batch travels with: bound for one pass, then gone."""

import copy

import pytest
import torch
from torch import nn

from dacbn.norms import ClusterContext, SCBNorm, share_context

IDS = torch.tensor([0, 1])


def test_ids_are_there_inside_the_block_and_gone_after_it():
    context = ClusterContext()
    with context.bind(IDS):
        assert context.ids is IDS
    with pytest.raises(RuntimeError, match="needs cluster ids"):
        _ = context.ids


def test_ids_are_gone_after_an_exception():
    context = ClusterContext()
    with pytest.raises(ZeroDivisionError), context.bind(IDS):
        _ = 1 / 0
    with pytest.raises(RuntimeError, match="needs cluster ids"):
        _ = context.ids


def test_binding_nothing_is_having_nothing():
    context = ClusterContext()
    with context.bind(None), pytest.raises(RuntimeError, match="needs cluster ids"):
        _ = context.ids


def test_all_layers_of_a_model_share_one_context_and_the_cure_in_the_error_works():
    model = nn.Sequential(SCBNorm(3), nn.Sequential(nn.ReLU(), SCBNorm(3)))
    with pytest.raises(RuntimeError, match=r"share_context\(backbone\)\.bind\(ids\)"):
        model(torch.randn(2, 3))
    with share_context(model).bind(IDS):
        assert model(torch.randn(2, 3)).isfinite().all()


def test_a_copy_shares_among_itself_but_not_with_the_original():
    model = nn.Sequential(SCBNorm(3), SCBNorm(3))
    share_context(model)
    twin = copy.deepcopy(model)
    assert twin[0].context is twin[1].context
    assert twin[0].context is not model[0].context
