"""A conversion keeps the function of a trained network, or its report says that it does not."""

import copy

import pytest
import torch
from norm_cases import LEND_NOTHING
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import norms, share_context

NOTE = "cannot start with the function of the old ones"
PLACES = [f"assign='{assign}'" for assign in ("channel", "position", "sample")]
OPTIONS = {
    "ucb_norm": [
        f"num_clusters={clusters}, update='{update}', {place}, prior_scale={scale}"
        for clusters in (1, 3)
        for update in ("em", "learned", "hybrid")
        for place in PLACES
        for scale in (True, False)
    ],
    "mixture_norm": ["num_clusters=1", "num_clusters=4, prior_scale=False", "em_steps=1"],
    "frozen_gate_norm": PLACES,
    "random_gate_norm": PLACES,
    "mode_norm": ["num_clusters=1", "num_clusters=5"],
    "latent_domain_norm": ["num_clusters=3"],
    "lp_batch_norm": ["p=2", "top=10", "p='inf'"],
    "domain_specific_whitening": ["group_size=1", "group_size=3, shrinkage=0.05", "shrinkage=0"],
    "kalman_norm": ["transition='learned'"],
    "group_norm": ["num_groups=1"],
}
KEEP = [
    f"{name}({options})"
    for name in norms
    if name not in LEND_NOTHING
    for options in ["", *OPTIONS.get(name, [])]
]
CHANGE = [*sorted(LEND_NOTHING), "domain_specific_whitening(shrinkage=1.0)"]
# what the factors of these layers would need a weight to undo
CHANGE_WITHOUT_AFFINE = [
    *("mean_only_batch_norm", "mixture_norm", "no_norm", "trans_norm", "uan"),
    "ucb_norm(prior_scale=True)",
]


def trained(dtype=torch.float32, affine=True):
    """Return a small network with planted statistics and affine maps, in evaluation."""
    model = nn.Sequential(
        nn.Conv2d(3, 7, 3),
        nn.BatchNorm2d(7, eps=1e-3, affine=affine),
        nn.ReLU(),
        nn.Conv2d(7, 6, 3, groups=1),
        nn.BatchNorm2d(6, momentum=0.02, affine=affine),
        nn.Flatten(),
        nn.Linear(6 * 16, 5),
        nn.BatchNorm1d(5, affine=affine),
    ).to(dtype)
    for layer in model:
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.1, 5)
            if affine:
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return model.eval()


@torch.no_grad()
def differs(model, converted, dtype):
    x = torch.randn(6, 3, 8, 8, dtype=dtype)
    with share_context(converted).bind(torch.tensor([0, 1, 1, 0, 1, 0])):
        found = converted(x)
    expected = model(x)
    error = 1e-5 if dtype == torch.float32 else 1e-10
    return bool((found - expected).abs().max() > error * expected.abs().max().clamp_min(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", KEEP)
def test_evaluation_after_the_conversion_equals_the_batch_norms(norm, dtype):
    model = trained(dtype)
    converted = copy.deepcopy(model)
    report = convert_norms(converted, norm)
    assert not differs(model, converted, dtype)
    assert NOTE not in str(report)


@pytest.mark.parametrize(
    ("norm", "affine"),
    [*((norm, True) for norm in CHANGE), *((norm, False) for norm in CHANGE_WITHOUT_AFFINE)],
)
def test_a_norm_that_cannot_start_there_is_reported(norm, affine):
    model = trained(affine=affine)
    converted = copy.deepcopy(model)
    report = convert_norms(converted, norm)
    assert differs(model, converted, torch.float32)
    assert f"3 of the new layers {NOTE}" in str(report)


def test_an_untrained_network_has_no_function_to_keep():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert NOTE not in str(convert_norms(model, "group_norm"))


def test_a_variance_below_the_shrinkage_is_reported():
    model = trained()
    model[1].running_var[2] = 1e-4
    assert f"1 of the new layers {NOTE}" in str(convert_norms(model, "domain_specific_whitening"))


def test_trying_out_leaves_the_new_layer_as_it_is():
    model, other = trained(), trained()
    other.load_state_dict(model.state_dict())
    convert_norms(model, "ucb_norm")
    layer = norms["ucb_norm"].from_batch_norm(other[1])
    assert model[1].num_features == 7 and not model[1].training
    for name, value in layer.state_dict().items():
        assert torch.equal(model[1].state_dict()[name], value)
        assert model[1].state_dict()[name].dtype == value.dtype
