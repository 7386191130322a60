"""Pooled outputs of a layer replace the features, for the recorded images."""

import numpy as np
import pytest
import torch

from dacbn.analysis.observe.outputs import DomainOutput, outputs_at
from dacbn.analysis.observe.recording import Activations, Recording


@pytest.fixture
def recorded():
    """Record three of five source images and all of two target images, at two layers."""
    images = {"source": torch.tensor([0, 2, 4]), "target": torch.tensor([0, 1])}
    layers = {
        name: {
            domain: Activations(*[torch.zeros(len(rows), 1, size)] * 2, *[pooled(rows, size)] * 2)
            for domain, rows in images.items()
        }
        for name, size in (("body.first", 3), ("body.second", 4))
    }
    outputs = {
        "source": DomainOutput(np.zeros((5, 9)), np.eye(5), np.arange(5)),
        "target": DomainOutput(np.zeros((2, 9)), np.eye(5)[:2], None),
    }
    return outputs, Recording(images, layers, {})


def pooled(rows, size):
    return rows[:, None].float().expand(-1, size)


def test_rows_of_outputs_and_layers_belong_to_the_same_images(recorded):
    found = outputs_at(("*.second",), *recorded)
    assert list(found) == ["body.second"]
    source, target = found["body.second"].values()
    assert source.features.tolist() == [[0] * 4, [2] * 4, [4] * 4]
    assert source.labels.tolist() == source.predictions.tolist() == [0, 2, 4]
    assert target.features.shape == (2, 4) and target.labels is None


def test_a_pattern_may_mean_several_layers(recorded):
    assert list(outputs_at(("body.*",), *recorded)) == ["body.first", "body.second"]


def test_an_unknown_layer_lists_the_known(recorded):
    with pytest.raises(ValueError, match=r"named like third: there are body.first, body.second"):
        outputs_at(("third",), *recorded)
