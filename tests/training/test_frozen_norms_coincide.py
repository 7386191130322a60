"""With frozen statistics, norms without maps of their own train as the BatchNorm does.

The classifier starts at random: a probe is solved to a tolerance, where rounding has a part in it.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dacbn import DomainAdapter
from dacbn.models import create_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(24) % 3
UCB = "ucb_norm(num_clusters=2, assign='sample')"
OPTIONS = {
    **{"method": "mcc + dann", "statistics": "frozen", "steps": 4, "augment": "none"},
    **{"source_batch_size": 12, "target_batch_size": 12, "precision": "float32"},
    **{
        "optimizer": "sgd",
        "classifier_start": "random",
        "lr": 0.1,
        "device": "cpu",
        "validators": (),
    },
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights with statistics and affine maps of their own in each layer."""
    torch.manual_seed(0)
    state = create_backbone("digits_cnn").state_dict()
    state = {name: each.contiguous() for name, each in state.items()}
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor += 0.1 * torch.randn_like(tensor)
        elif name.endswith("running_var"):
            tensor *= torch.empty_like(tensor).uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file(state, path)
    return str(path)


@pytest.fixture(scope="module")
def trained(weights):
    def train(**options):
        adapter = DomainAdapter("digits_cnn", **{**OPTIONS, "weights": weights, **options})
        adapter.fit((IMAGES, LABELS), 255 - IMAGES)
        return torch.from_numpy(adapter.predict_proba(IMAGES)).log()

    return train


@pytest.fixture(scope="module")
def of_batch_norm(trained):
    return trained(norm=None)


@pytest.mark.parametrize(
    ("norm", "sites"),
    [
        *((norm, "all") for norm in ("batch_norm", UCB, "ucb_norm", "mode_norm")),
        (UCB, "first"),
    ],
)
def test_a_training_is_that_of_the_batch_norm(trained, of_batch_norm, norm, sites):
    found = trained(norm=norm, norm_sites=sites)
    torch.testing.assert_close(found, of_batch_norm, atol=1e-5, rtol=1e-5)


def test_the_training_moves(trained, of_batch_norm):
    assert (trained(norm=None, lr=1e-12) - of_batch_norm).abs().max() > 0.1


def test_maps_of_each_domain_part(trained, of_batch_norm):
    found = trained(norm="domain_specific_batch_norm")
    assert 1e-3 < (found - of_batch_norm).abs().max() < 0.1


def test_following_statistics_part(trained):
    first, second = (trained(norm=norm, statistics="follow") for norm in (None, UCB))
    assert (first - second).abs().max() > 0.1
