"""Sums of methods."""

import pytest
import torch

from dacbn.batch import Batch
from dacbn.methods import methods
from dacbn.models import create_network
from dacbn.registry import UnknownNameError


def batch():
    torch.manual_seed(0)
    images = torch.rand(2, 6, 3, 32, 32)
    return Batch(images[0], torch.arange(6) % 3, images[1][:4])


def build(spec):
    torch.manual_seed(1)
    return methods.build(spec, create_network("digits_cnn", None, 3))


def test_a_sum_has_the_losses_of_its_terms_and_one_classification_loss():
    both = build("mcc(weight=0.5) + bnm")(batch(), 0.5).losses
    mcc, bnm = (build(spec)(batch(), 0.5).losses for spec in ("mcc(weight=0.5)", "bnm"))
    assert both.keys() == mcc.keys() | bnm.keys()
    for name, loss in (mcc | bnm).items():
        torch.testing.assert_close(both[name], loss)


def test_a_sum_trains_the_heads_of_its_terms_and_holds_the_network_once():
    method = build("dann + mcc")
    sum(method(batch(), 0.5).losses.values()).backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    names = [name for name in method.state_dict() if "classifier" in name]
    assert names == ["network.classifier.weight", "network.classifier.bias"]


def test_one_term_is_the_method_itself():
    assert type(build("dann(weight=0.2)")).__name__ == "DANN"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("dann + dann", "dann appears twice in 'dann \\+ dann'"),
        ("dann + fixmatch", "fixmatch defines its own forward pass"),
        ("dann + mcc(heat=2)", "mcc has no option 'heat', only weight, temperature"),
        ("mcc(weight='a')", "weight of mcc must be a number"),
    ],
)
def test_what_cannot_be_added_says_why(spec, text):
    with pytest.raises(ValueError, match=text):
        build(spec)


def test_an_unknown_term_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'mc[cd]'"):
        build("dann + mc")
