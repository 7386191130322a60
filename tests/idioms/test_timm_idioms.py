"""What people do with timm's networks and tools, done with converted networks."""

import copy

import pytest
import timm
import torch
from idioms import AFFINE, BY_ID, KINDS, MIXTURES, WITHOUT, buffers_of, converted, idiom, moved
from idioms import with_ids as bound
from timm.models import create_feature_extractor
from timm.optim import create_optimizer_v2, param_groups_weight_decay
from timm.utils import ModelEmaV3, freeze, reparameterize_model, unfreeze
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import GroupNorm, UCBNorm, no_weight_decay, norms, set_statistics

IMAGES = torch.linspace(-2, 3, 4 * 3 * 32 * 32).sin().view(4, 3, 32, 32)
SOME = ["batch_norm", "ucb_norm", "mode_norm", "domain_specific_batch_norm", "group_norm"]
each_kind = pytest.mark.parametrize("kind", SOME)


def resnet(kind, **options):
    model = timm.create_model("resnet10t", num_classes=5, **options)
    return converted(kind, model, IMAGES)


@idiom("`timm.utils.freeze`, `unfreeze`")
def test_a_frozen_stage_keeps_its_statistics():
    model = resnet("batch_norm")
    twin, images = bound(copy.deepcopy(model)), IMAGES * 5
    freeze(model, ["layer1"])
    before = buffers_of(model.layer1)
    model.train()(images)
    assert moved(model.layer1, before) == [] and not model.layer1[0].conv1.weight.requires_grad
    set_statistics(twin, "frozen", "layer1.*")
    twin.train()(images)
    torch.testing.assert_close(model.eval()(IMAGES), twin.eval()(IMAGES))
    unfreeze(model, ["layer1"])
    model.train()(images)
    assert not model.layer1[0].bn1.running_mean.equal(before["0.bn1.running_mean"])


@idiom("`timm.utils.freeze`, `unfreeze`")
def test_statistics_that_are_frozen_no_more_move_by_the_momentum_that_they_had():
    # timm 1.0.31's `unfreeze_batch_norm_2d` (timm/layers/norm_act.py) makes BatchNorms by the
    # number of channels, and gives them all that was but the momentum, which is 0.1
    model = resnet("batch_norm(momentum=0.01)")
    set_statistics(model, "frozen")
    set_statistics(model, "follow")
    found = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {layer.momentum for layer in found} == {0.01}


@idiom("`timm.utils.freeze`, `unfreeze`")
@pytest.mark.parametrize("kind", [*MIXTURES, *BY_ID, "switchable_norm", "lp_batch_norm"])
def test_what_freezing_cannot_rebuild_says_how_to_freeze_it(kind):
    model = resnet(kind)
    with pytest.raises(RuntimeError, match=r"has no running_.*set_statistics\(model, 'frozen'\)"):
        freeze(model, ["layer1"])
    set_statistics(model, "frozen", "layer1.*")
    freeze(model, ["layer1"], include_bn_running_stats=False)
    before = buffers_of(model.layer1)
    model.train()(IMAGES * 5)
    assert moved(model.layer1, before) == []
    assert not any(parameter.requires_grad for parameter in model.layer1.parameters())


@idiom("`timm.utils.freeze`, `unfreeze`")
def test_kalman_norms_among_frozen_ones_say_how_to_freeze_them():
    model = resnet("kalman_norm")
    freeze(model, ["layer1"])
    with pytest.raises(RuntimeError, match=r"was a normaliser.*set_statistics"):
        model.train()(IMAGES)


@idiom("`timm.utils.distribute_bn`")
@pytest.mark.parametrize(
    ("kind", "found"),
    [("batch_norm", 28), ("kalman_norm", 28), ("ucb_norm", 0), ("domain_specific_batch_norm", 0)],
)
def test_statistics_are_distributed_by_the_names_of_batch_norm(kind, found):
    names = [name for name, _ in resnet(kind).named_buffers()]
    assert sum("running_mean" in name or "running_var" in name for name in names) == found


@idiom("`timm.utils.ModelEmaV3`")
@pytest.mark.parametrize("kind", KINDS)
def test_an_average_follows_parameters_and_statistics(kind):
    model = converted(kind)
    average = ModelEmaV3(model, decay=0.5)
    start = average.module.state_dict()
    wanted = {key: value.clone() for key, value in start.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    model(torch.randn(4, 3, 8, 8) + 1)
    average.update(model)
    for key, value in average.module.state_dict().items():
        newest = model.state_dict()[key]
        if value.is_floating_point():
            torch.testing.assert_close(value, (wanted[key] + newest) / 2, rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(value, newest), key


@idiom("weight decay: `param_groups_weight_decay`, `create_optimizer_v2`")
@pytest.mark.parametrize("name", list(norms))
def test_no_parameter_of_a_normaliser_decays(name):
    model = timm.create_model("resnet10t", num_classes=5)
    convert_norms(model, name)
    decay = {id(parameter) for parameter in model.parameters() if parameter.ndim > 1}
    inside = {
        id(parameter)
        for layer in model.modules()
        if isinstance(layer, norms[name])
        for parameter in layer.parameters()
    }
    by_hand = param_groups_weight_decay(model, 0.05, no_weight_decay_list=no_weight_decay(model))
    by_timm = create_optimizer_v2(copy.deepcopy(model), "sgd", lr=0.1, weight_decay=0.05)
    for groups in (by_hand, by_timm.param_groups):
        decayed = [each for group in groups if group["weight_decay"] for each in group["params"]]
        assert len(decayed) == len(decay - inside)
    assert {id(each) for group in by_hand if group["weight_decay"] for each in group["params"]} == (
        decay - inside
    )


@idiom("weight decay: `param_groups_weight_decay`, `create_optimizer_v2`")
def test_what_the_network_itself_names_does_not_decay_either():
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=3, depth=2)
    own = model.no_weight_decay()
    convert_norms(model, "mode_norm", replaces="layer_norm")
    assert own <= model.no_weight_decay() and "norm.norm.gate.weight" in model.no_weight_decay()
    assert {f"0.{name}" for name in own} <= no_weight_decay(nn.Sequential(model))


@idiom("`reparameterize_model`, `fuse`: repvgg, mobileone, fastvit, levit")
@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "fastvit_t8", "levit_128s"])
@torch.no_grad()
def test_branches_are_fused_or_the_reason_is_told(name):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 2)
    side = 224 if name.startswith("levit") else 32
    state, images = model.state_dict(), torch.randn(1, 3, side, side)
    wanted = reparameterize_model(model)(images)
    for kind in AFFINE:
        twin = copy.deepcopy(model)
        convert_norms(twin, kind)
        assert twin.state_dict().keys() == state.keys()
        torch.testing.assert_close(reparameterize_model(twin)(images), wanted)
    convert_norms(model, "ucb_norm")
    with pytest.raises(RuntimeError, match=r"UCBNorm has no running_.*do not fold it"):
        reparameterize_model(model)


@idiom("checkpoints of plain networks")
@pytest.mark.parametrize("name", ["repvgg_a0", "efficientnet_lite0", "resnet10t"])
def test_a_converted_network_loads_the_checkpoint_of_the_plain_one(name):
    plain = timm.create_model(name, num_classes=3)
    state = {key: torch.rand_like(value.float()) for key, value in plain.state_dict().items()}
    model, older = copy.deepcopy(plain), copy.deepcopy(plain)
    convert_norms(model, "batch_norm")
    convert_norms(older, "batch_norm")
    plain.load_state_dict(state)
    model.load_state_dict(state)
    for key, value in zip(plain.state_dict(), model.state_dict().values(), strict=True):
        assert torch.equal(value, plain.state_dict()[key]), key
    names = {
        key
        for key, _ in older.named_modules()
        if isinstance(older.get_submodule(key), norms["batch_norm"])
    }
    former = {}  # the names of a norm that was the first of three
    for key, value in model.state_dict().items():
        layer, _, leaf = key.rpartition(".")
        former[f"{layer}.0.{leaf}" if layer in names and "act" not in layer else key] = value
    older.load_state_dict(former if name == "repvgg_a0" else model.state_dict())
    for key, value in older.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


@idiom("`features_only=True`")
@each_kind
def test_the_features_of_a_converted_network_are_those_of_its_layers(kind):
    torch.manual_seed(0)
    plain = timm.create_model("resnet10t", features_only=True)
    model = converted(kind, plain, IMAGES).eval()
    shapes = [tuple(features.shape) for features in model(IMAGES)]
    assert [shape[1] for shape in shapes] == plain.feature_info.channels()


@idiom("`set_grad_checkpointing`")
@each_kind
def test_checkpointing_changes_no_gradient(kind):
    model = resnet(kind).train()
    twin = bound(copy.deepcopy(model))
    twin.set_grad_checkpointing(True)
    for each in (model, twin):
        each(IMAGES).sin().sum().backward()
    for wanted, found in zip(model.parameters(), twin.parameters(), strict=True):
        if wanted.grad is not None:
            torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-3, atol=1e-4)


@idiom("`set_grad_checkpointing`")
def test_latent_domains_say_that_checkpointing_must_be_off():
    model = resnet("latent_domain_norm").train()
    model.set_grad_checkpointing(True)
    with pytest.raises(RuntimeError, match="need gradient checkpointing turned off"):
        model(IMAGES).sum().backward()


@idiom("`create_model(norm_layer=…)`")
@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto"])
@pytest.mark.parametrize("layer", [UCBNorm, norms["batch_norm"], GroupNorm])
def test_a_network_is_built_with_a_class_of_norm(name, layer):
    model = timm.create_model(name, norm_layer=layer, num_classes=3)
    assert sum(type(each) is layer for each in model.modules()) > 10
    if layer is not GroupNorm:
        assert model(IMAGES).isfinite().all()


@idiom("`create_model(norm_layer=…)`")
def test_networks_with_fused_activations_take_timms_own_classes_only():
    with pytest.raises(AssertionError, match="No equivalent norm_act layer for ucbnorm"):
        timm.create_model("densenet121", norm_layer=UCBNorm)
    model = timm.create_model("densenet121", norm_layer=norms["batch_norm"])
    assert not any(isinstance(layer, norms["batch_norm"]) for layer in model.modules())
    convert_norms(model, "batch_norm")
    assert any(isinstance(layer, norms["batch_norm"]) for layer in model.modules())


@idiom("feature extractors of torchvision and timm (`torch.fx`)")
@pytest.mark.parametrize("kind", [*SOME, *WITHOUT])
def test_timms_extractor_takes_a_norm_as_one_layer(kind):
    model = resnet(kind).eval()
    extract = create_feature_extractor(model, ["layer1.0.bn1", "fc"])
    found, kept = extract(IMAGES), []
    model.layer1[0].bn1.register_forward_hook(lambda *each: kept.append(each[-1]))
    torch.testing.assert_close(found["fc"], model(IMAGES))
    torch.testing.assert_close(found["layer1.0.bn1"], kept[0])
