"""Modes are as they were, module by module, whatever happens in between."""

import pytest
from torch import nn

from dacbn.norms.modes import modes_kept


def test_each_module_gets_its_own_mode_back():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.ReLU(), nn.BatchNorm1d(2)))
    model.train()
    model[1][1].eval()
    before = [module.training for module in model.modules()]
    with modes_kept(model):
        model.eval()
        model[0].train()
    assert [module.training for module in model.modules()] == before


def test_an_error_does_not_keep_modes_from_coming_back():
    model = nn.Dropout().train()
    with pytest.raises(RuntimeError), modes_kept(model):
        model.eval()
        raise RuntimeError
    assert model.training
