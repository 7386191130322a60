"""Normalisers of a user's own, given as classes, and what is no normaliser."""

import numpy as np
import pytest
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import Norm


def test_a_norm_of_ones_own_may_have_options_without_a_default():
    class Scaled(Norm):
        def __init__(self, num_features, factor, eps=1e-5, affine=True):
            super().__init__(num_features, eps, affine)
            self.factor = factor

        def normalise(self, x):
            return self.affine(self.factor * x)

    model = nn.Sequential(nn.BatchNorm2d(2))
    convert_norms(model, Scaled, factor=3)
    assert model[0].factor == 3
    with pytest.raises(ValueError, match="Scaled has no option 'colour', only factor, eps, affine"):
        convert_norms(nn.Sequential(nn.BatchNorm2d(2)), Scaled, colour=1)


def test_numbers_of_numpy_are_numbers():
    model = nn.Sequential(nn.BatchNorm2d(2))
    convert_norms(model, "ucb_norm", eps=np.float32(0.5), num_clusters=np.int64(2).item())
    assert model[0].eps == 0.5


@pytest.mark.parametrize("norm", [None, 5, nn.InstanceNorm2d])
def test_what_is_no_norm_is_refused(norm):
    with pytest.raises(ValueError, match=r"a norm is a name or a subclass of dacbn.norms.Norm"):
        convert_norms(nn.Sequential(nn.BatchNorm2d(2)), norm)
