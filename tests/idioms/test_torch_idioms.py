"""What people do with BatchNorm networks by torch itself, done with converted ones."""

import copy

import pytest
import torch
from idioms import (
    BY_ID,
    IDS,
    IMAGES,
    KINDS,
    RUNNING,
    WITHOUT,
    buffers_of,
    converted,
    idiom,
    moved,
    small,
    with_ids,
)
from torch import nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.flop_counter import FlopCounterMode

from dacbn.models import convert_norms, create_network
from dacbn.norms import norms, recalibrate, share_context
from dacbn.norms.mixture.operations import count_operations

each_kind = pytest.mark.parametrize("kind", KINDS)
each_running = pytest.mark.parametrize("kind", RUNNING)


@idiom("`torch.optim.swa_utils.update_bn`")
@each_running
def test_update_bn_re_estimates_the_statistics_as_recalibration_does(kind):
    model = converted(kind).eval()
    twin, batches = copy.deepcopy(model), [IMAGES + 1, IMAGES * 3, IMAGES - 2]
    before, momenta = buffers_of(model), [getattr(m, "momentum", None) for m in model.modules()]
    update_bn(batches, model)
    assert moved(model, before) and not model.training
    assert [getattr(m, "momentum", None) for m in model.modules()] == momenta
    with_ids(twin)
    recalibrate(twin, batches)
    torch.testing.assert_close(model(IMAGES), twin(IMAGES))


@idiom("`torch.optim.swa_utils.update_bn`")
@each_running
def test_update_bn_leaves_a_cumulative_average_that_goes_on(kind):
    model = converted(kind)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    model.train()(IMAGES)
    twin, batches = copy.deepcopy(model), [IMAGES + 1, IMAGES * 3, IMAGES - 2]
    update_bn(batches[:2], model)
    model(batches[2])
    with_ids(twin)
    recalibrate(twin, batches)
    torch.testing.assert_close(model.eval()(IMAGES), twin.eval()(IMAGES))


@idiom("`torch.optim.swa_utils.update_bn`")
@pytest.mark.parametrize("kind", BY_ID)
def test_update_bn_weighs_the_batches_of_each_domain_alike(kind):
    model, alone = converted(kind), {0: [IMAGES, IMAGES - 2, IMAGES * 3], 1: [IMAGES + 1]}
    twin = copy.deepcopy(model)

    def one_domain_each():
        for domain, batches in reversed(alone.items()):
            for batch in batches:
                with_ids(model, torch.full((4,), domain))
                yield batch

    update_bn(one_domain_each(), model)
    first = next(layer for layer in model.modules() if hasattr(layer, "running"))
    for domain, batches in alone.items():
        wanted = torch.stack([twin[0](batch).mean((0, 2, 3)) for batch in batches]).mean(0)
        torch.testing.assert_close(first.running.mean[domain], wanted)
    before = copy.deepcopy(first.running.mean)
    model.train()(IMAGES)  # goes on by the momentum
    newest = twin[0](IMAGES).mean((0, 2, 3))
    torch.testing.assert_close(first.running.mean[0], before[0].lerp(newest, 0.1))


@idiom("`torch.optim.swa_utils.AveragedModel`")
@each_kind
def test_an_average_of_equal_networks_is_the_network(kind):
    model = converted(kind)
    average = AveragedModel(model, use_buffers=True)
    for _ in range(2):
        average.update_parameters(model)
    with_ids(average)
    torch.testing.assert_close(average.module.eval()(IMAGES), model.eval()(IMAGES))
    twin = copy.deepcopy(model).train()
    torch.testing.assert_close(average.module.train()(IMAGES), with_ids(twin)(IMAGES))


@idiom("`SyncBatchNorm.convert_sync_batchnorm`")
@each_running
def test_what_cannot_be_synchronised_by_torch_says_so(kind):
    with pytest.raises(RuntimeError, match=r"cannot become a SyncBatchNorm: leave out"):
        nn.SyncBatchNorm.convert_sync_batchnorm(converted(kind))


@idiom("`SyncBatchNorm.convert_sync_batchnorm`")
@pytest.mark.parametrize("kind", WITHOUT)
def test_what_has_nothing_to_synchronise_stays(kind):
    model = converted(kind)
    types = [type(layer) for layer in model.modules()]
    same = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert [type(layer) for layer in same.modules()] == types


@idiom("loops over `nn.BatchNorm2d`")
@each_running
@pytest.mark.parametrize("way", ["eval", "momentum", "track_running_stats"])
def test_loops_over_batch_norms_stop_the_statistics(kind, way):
    model = converted(kind).train()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            if way == "eval":
                layer.eval()
            else:
                setattr(layer, way, 0.0 if way == "momentum" else False)
    before = buffers_of(model)
    model(IMAGES * 5)
    assert [name for name in moved(model, before) if not name.endswith("tracked")] == []
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d) and way == "track_running_stats":
            layer.track_running_stats = True
            assert layer.momentum == 0.1


@idiom("`torch.func`: `grad`, `jvp`, `vmap`, `functional_call`")
@each_kind
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*deprecated:FutureWarning")  # torch's own
def test_transforms_of_an_evaluating_network_agree_with_autograd(kind):
    model, images = converted(kind).double().eval(), IMAGES.double()
    state, buffers = dict(model.named_parameters()), dict(model.named_buffers())

    def loss(state, images):
        return functional_call(model, (state, buffers), (images,)).sin().sum()

    wanted = torch.autograd.grad(loss(state, images), list(state.values()), allow_unused=True)
    found = grad(loss)(state, images)
    for name, gradient in zip(state, wanted, strict=True):
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient)
    value, slope = jvp(model, (images,), (torch.ones_like(images),))
    torch.testing.assert_close(value, model(images))
    difference = (model(images + 1e-6) - model(images - 1e-6)) / 2e-6
    assert (slope - difference).abs().max() <= 1e-4 * difference.abs().max()
    with_ids(model, torch.tensor([1]))
    each = vmap(grad(lambda state, image: loss(state, image[None])), (None, 0))(state, images)
    alone = [grad(loss)(state, image[None]) for image in images]
    for name in state:
        torch.testing.assert_close(each[name], torch.stack([one[name] for one in alone]))


@idiom("`torch.autograd.grad(…, is_grads_batched=True)`")
@each_kind
@pytest.mark.parametrize("mode", ["train", "eval", "eval in float64"])
def test_a_batch_of_gradients_is_each_of_them(kind, mode):
    layer = converted(kind, nn.Sequential(nn.BatchNorm2d(3))).train(mode == "train")
    images = IMAGES[:, :, ::2, 1::2].to(torch.double if "64" in mode else torch.float, copy=True)
    answers = layer(images.requires_grad_()).sin().mean((2, 3))[:2].flatten().float()
    wanted = [images, *layer.parameters()]
    found = torch.autograd.grad(
        answers, wanted, torch.eye(6), retain_graph=True, is_grads_batched=True, allow_unused=True
    )
    for row, answer in enumerate(answers):
        alone = torch.autograd.grad(answer, wanted, retain_graph=True, allow_unused=True)
        for batch, each in zip(found, alone, strict=True):
            if each is not None:
                torch.testing.assert_close(batch[row], each, atol=1e-5, rtol=1e-4)


@idiom("`torch.func`: `grad`, `jvp`, `vmap`, `functional_call`")
@each_kind
def test_an_ensemble_is_its_members(kind):
    members = [converted(kind).eval() for _ in range(2)]
    with torch.no_grad():
        for parameter in members[1].parameters():
            parameter.mul_(1.1)
    state = stack_module_state(members)
    empty = with_ids(copy.deepcopy(members[0]).to("meta"))
    found = vmap(lambda p, b: functional_call(empty, (p, b), (IMAGES,)))(*state)
    torch.testing.assert_close(found, torch.stack([member(IMAGES) for member in members]))


@idiom("`torch.func` in training")
@pytest.mark.parametrize("kind", [None, "batch_norm", "ucb_norm", "mixture_norm", "mode_norm"])
def test_statistics_that_move_are_refused_inside_of_a_transform_as_those_of_batch_norm(kind):
    model = small() if kind is None else converted(kind)
    state = dict(model.named_parameters())
    with pytest.raises(RuntimeError, match="in-place"):
        grad(lambda state: functional_call(model, state, (IMAGES,)).sum())(state)


@idiom("meta device, deferred initialisation")
@each_kind
def test_a_network_built_without_values_starts_as_a_new_one(kind):
    torch.manual_seed(0)
    with torch.device("meta"):
        model = small()
        convert_norms(model, kind)
        assert all(value.is_meta for value in model.state_dict().values())
        with_ids(model, torch.zeros(4, dtype=torch.int64))
        assert model(torch.empty(4, 3, 8, 8)).is_meta
    model.to_empty(device="cpu")
    for layer in model.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    torch.manual_seed(0)
    new = small()
    convert_norms(new, kind)
    for key, value in new.state_dict().items():
        if key.startswith(("1.", "4.", "9.")):  # the normalisers
            assert torch.equal(model.state_dict()[key], value), key


@idiom("meta device, deferred initialisation")
def test_what_depends_on_the_network_cannot_be_reset():
    model = converted("kalman_norm(transition='learned')")
    with pytest.raises(RuntimeError, match=r"learned\.offset.*depend on the network"):
        model[4].reset_parameters()


class ByIds(nn.Module):
    """A network as a function of images and ids."""

    def __init__(self, kind):
        super().__init__()
        self.model = converted(kind).eval()

    def forward(self, images, ids):
        """Return the outputs."""
        with share_context(self.model).bind(ids):
            return self.model(images)


@idiom("`torch.export` with a dynamic batch")
@pytest.mark.parametrize(
    "kind",
    [
        "auto_dial",
        "context_batch_norm",
        "domain_specific_batch_norm",
        "domain_specific_whitening",
        "latent_domain_norm",
        "scb_norm",
        "trans_norm",
        "ucb_norm",
    ],
)
def test_one_program_takes_every_batch_size(kind):
    module, batch = ByIds(kind), torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        module, (IMAGES, IDS), dynamic_shapes=({0: batch}, {0: batch})
    ).module()
    for size in (1, 2, 7):
        images, ids = torch.randn(size, 3, 8, 8), torch.arange(size) % 2
        torch.testing.assert_close(program(images, ids), module(images, ids))


@idiom("`torch.utils.flop_counter.FlopCounterMode`")
@pytest.mark.parametrize("kind", ["ucb_norm", "ucb_norm(update='hybrid')"])
def test_mixtures_per_channel_are_counted(kind):
    def count(kind, training):
        model = converted(kind).train(training)
        with FlopCounterMode(display=False) as forward:
            loss = model(IMAGES).sum()
        with FlopCounterMode(display=False) as backward:
            loss.backward()
        return forward.get_total_flops(), backward.get_total_flops()

    shapes = [(4, 4, 6, 6), (4, 6, 4, 4), (4, 5)]
    for training in (True, False):
        once = sum(count_operations(shape, (3, shape[1]), training) for shape in shapes)
        plain, found = count("batch_norm", training), count(kind, training)
        assert [b - a for a, b in zip(plain, found, strict=True)] == [once, 2 * once]


def test_new_layers_reset_to_what_they_were():
    for name in norms:
        layer = norms[name](8)
        new = buffers_of(layer)
        with share_context(layer).bind(IDS):
            layer(torch.randn(4, 8, 3))
        layer.reset_parameters()
        assert moved(layer, new) == [], name


def test_a_network_of_dacbn_is_not_changed_by_being_looked_at():
    network = create_network("resnet10t", "ucb_norm", 3)
    for layer in network.modules():
        for name in dir(layer):
            getattr(layer, name, None)
