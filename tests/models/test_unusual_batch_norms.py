"""What unusual BatchNorms have or do, a conversion keeps or names in its report."""

import copy

import pytest
import timm
import torch
from norm_cases import ids_of
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import norms, share_context


class LoudBatchNorm(nn.BatchNorm2d):
    """Somebody's own BatchNorm."""


def stilled(batch_norm):
    batch_norm.track_running_stats = False  # as freeze of Lightning 2.6.6 does: the statistics stay
    return batch_norm


def around(batch_norm):
    return nn.Sequential(nn.Conv2d(3, 8, 3), batch_norm)


@pytest.mark.parametrize("name", list(norms))
def test_a_batch_norm_without_bias_keeps_its_weight(name):
    old = nn.BatchNorm2d(8, bias=False)
    nn.init.uniform_(old.weight, 1, 2)
    model, plain = around(old), around(nn.BatchNorm2d(8))
    plain[1].weight.data.copy_(old.weight)
    plain[0].load_state_dict(model[0].state_dict())
    report = convert_norms(model, name)
    assert "1 of the old layers had no bias: the new ones learn one, from 0 on" in report.notes
    convert_norms(plain, name)
    for key, value in plain.state_dict().items():
        if "conv" not in key and name != "self_normalizing":
            assert torch.equal(model.state_dict()[key], value), key
    with share_context(model).bind(ids_of(torch.empty(4))):
        assert model(torch.randn(4, 3, 8, 8)).isfinite().all()


@pytest.mark.parametrize(
    ("batch_norm", "note"),
    [
        (nn.BatchNorm2d(8, track_running_stats=False), "normalised by the batch in evaluation"),
        (stilled(nn.BatchNorm2d(8)), "kept their running statistics"),
        (nn.BatchNorm2d(8, momentum=None), "averaged all batches"),
        (nn.BatchNorm2d(8, momentum=0.997), "had momentum 0.997"),  # of transformers 5.24.0
        (nn.SyncBatchNorm(8), "shared statistics between processes"),
        (LoudBatchNorm(8), "were a LoudBatchNorm"),
    ],
)
def test_what_is_lost_is_in_the_report(batch_norm, note):
    assert note in str(convert_norms(around(batch_norm), "ucb_norm"))


def test_hooks_that_are_dropped_are_in_the_report():
    model = around(nn.BatchNorm2d(8))
    model[1].register_forward_hook(print)
    assert "1 of the old layers had hooks" in str(convert_norms(model, "group_norm"))


def test_the_report_names_nothing_that_the_new_layer_does_too():
    for old in (nn.BatchNorm2d(8, track_running_stats=False), nn.BatchNorm2d(8, momentum=None)):
        assert convert_norms(around(old), "prediction_time_batch_norm").notes == ()
    assert convert_norms(around(nn.BatchNorm2d(8)), "ucb_norm").notes == ()


def test_frozen_parameters_stay_frozen():
    model = around(nn.BatchNorm2d(8).requires_grad_(False))
    convert_norms(model, "ucb_norm")
    assert not model[1].weight.requires_grad and not model[1].bias.requires_grad


def test_a_lazy_batch_norm_is_refused_until_it_knows_its_channels():
    model = around(nn.LazyBatchNorm2d())
    with pytest.raises(ValueError, match=r"1 is a LazyBatchNorm2d.*run the model on a batch"):
        convert_norms(model, "ucb_norm")
    model(torch.randn(4, 3, 8, 8))
    assert convert_norms(model, "ucb_norm").replaced == ("1",)


@pytest.mark.parametrize("name", list(norms))
def test_a_network_on_the_meta_device_stays_there(name):
    model = around(nn.BatchNorm2d(8)).to("meta")
    convert_norms(model, name)
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("name", ["ucb_norm", "mode_norm", "batch_norm"])
def test_checkpointed_blocks_of_a_network_have_the_gradients_of_the_network(name):
    model = timm.create_model("resnet18", num_classes=3)
    convert_norms(model, name)
    images = torch.randn(4, 3, 32, 32)
    model(images)
    twin = copy.deepcopy(model)
    twin.set_grad_checkpointing(True)
    for each in (model, twin):
        each(images).square().sum().backward()
    for wanted, found in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)
    for key, value in model.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value), key
