"""A mixture per channel by plain operators computes what the layer does."""

import pytest
import torch

from dacbn.export.channel_mixture import ChannelMixture
from dacbn.export.simplify import simplify
from dacbn.models import create_network
from dacbn.norms import UCBNorm

OPTIONS = [
    {},
    {"num_clusters": 2},
    {"num_clusters": 5},
    {"update": "learned"},
    {"update": "hybrid", "prior_scale": True},
    {"affine": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(64, 4), (8, 4, 6, 5)])
def test_it_computes_what_the_layer_does_far_out_too(options, shape):
    torch.manual_seed(0)
    layer = UCBNorm(4, **options)
    spread = torch.tensor([0.1, 2.0, 3.0, 4.0]).view(1, 4, *[1] * (len(shape) - 2))
    for _ in range(5):
        layer(torch.randn(shape) * spread + 20)
    layer.eval()
    plain = ChannelMixture(layer)
    with torch.no_grad():
        for factor in (1, 10, 1000):
            x = torch.randn(shape) * spread * factor + 20
            expected = layer.double()(x.double()).float()
            torch.testing.assert_close(plain(x), expected, atol=5e-5, rtol=1e-5)
            layer.float()


def test_a_network_is_simplified_without_a_change_of_its_answers():
    torch.manual_seed(0)
    network = create_network("digits_cnn", "domain_specific_batch_norm + weight_standardization", 3)
    images, ids = torch.rand(8, 3, 32, 32), torch.ones(8, dtype=torch.int64)
    with torch.no_grad():
        network(images, ids)
        expected = network.eval()(images, ids)
        found = simplify(network, 1)(images)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(network(images, ids).logits, expected.logits)  # is not changed
