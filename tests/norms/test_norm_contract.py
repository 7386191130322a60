"""What holds for every registered normaliser: a new one is tested by being registered."""

import copy

import pytest
import torch
from norm_cases import LEAVE_THE_SCALE, LEND_NOTHING, OWN_ENDING, SHAPES, ids_of, run, trained
from safetensors.torch import load, save
from torch import nn
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dacbn.norms import Norm, norms, share_context

pytestmark = pytest.mark.parametrize("name", list(norms))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_input_of_any_dimension_gives_finite_output_and_gradients(name, shape, training):
    layer = trained(name, shape).train(training)
    x = torch.randn(shape, requires_grad=True)
    y = run(layer, x)
    assert y.shape == x.shape and y.dtype == x.dtype
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    for parameter in layer.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
    assert layer.weight.grad.abs().min() > 0 and layer.bias.grad.abs().min() > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_batch_is_normalised(name, shape):
    if name in LEAVE_THE_SCALE:
        pytest.skip("does not normalise")
    y = run(norms[name](4), torch.randn(64, *shape[1:]) * 5 + 3).transpose(0, 1).flatten(1)
    # a layer that does something else by its nature is listed in norm_cases.LEAVE_THE_SCALE
    assert y.mean(1).abs().max() < 0.3
    # overlapping components overlap in what they explain, which costs some of the variance
    assert y.std(1).min() > 0.5 and y.std(1).max() < 1.4


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1), (1, 4, 5, 3), (2, 4), (0, 4), (0, 4, 2, 2)])
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_tiny_batches_give_no_nan_now_or_later(name, shape, fresh, training):
    layer = (norms[name](4) if fresh else trained(name)).train(training)
    x = torch.randn(shape, requires_grad=True)
    y = run(layer, x)
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    assert run(layer, torch.randn(8, 4)).isfinite().all()
    assert all(value.isfinite().all() for value in layer.state_dict().values())


@pytest.mark.parametrize("value", [0.0, 1.0, -300.0])
@pytest.mark.parametrize("fresh", [True, False])
def test_constant_input_gives_no_nan(name, value, fresh):
    layer = norms[name](4) if fresh else trained(name)
    x = torch.full((8, 4, 3), value, requires_grad=True)
    for _ in range(3):
        y = run(layer, x)
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    assert all(parameter.isfinite().all() for parameter in layer.parameters())
    assert run(layer.eval(), x).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fresh", [True, False])
def test_half_precision_input_has_float32_statistics(name, dtype, training, fresh):
    layer = (norms[name](4) if fresh else trained(name)).train(training)
    twin = copy.deepcopy(layer)
    x = (torch.randn(32, 4, 3, 3) * 3 + 20).to(dtype).requires_grad_()
    y, exact = run(layer, x), run(twin, x.detach().float())
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), exact, rtol=2e-2, atol=2e-2)
    y.square().sum().backward()
    assert x.grad.isfinite().all()
    for key, value in layer.state_dict().items():
        assert value.dtype not in (torch.float16, torch.bfloat16)
        # a sum in half precision would be off by percents
        torch.testing.assert_close(value, twin.state_dict()[key], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fresh", [True, False])
def test_autocast_leaves_the_statistics_in_float32(name, fresh):
    layer = norms[name](4) if fresh else trained(name)
    twin, x = copy.deepcopy(layer), torch.randn(32, 4, 3, 3) * 3 + 20
    with torch.autocast("cpu", torch.bfloat16):
        y = run(layer, x)
    torch.testing.assert_close(y.float(), run(twin, x), rtol=1e-4, atol=1e-4)
    for key, value in layer.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[key], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_channels_last_comes_out_as_it_went_in(name, training):
    layer = trained(name).train(training)
    twin, x = copy.deepcopy(layer), torch.randn(8, 4, 5, 3)
    y = run(layer, x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, run(twin, x))
    assert run(layer, x).is_contiguous()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_permuting_the_batch_permutes_the_output(name, shape, training):
    layer = trained(name).train(training)
    twin, x, order = copy.deepcopy(layer), torch.randn(shape), torch.randperm(8)
    permuted = run(twin, x[order], ids_of(x)[order])
    torch.testing.assert_close(permuted, run(layer, x)[order], rtol=1e-4, atol=1e-5)


def test_weight_and_bias_are_the_outermost_map(name):
    if name in OWN_ENDING:
        pytest.skip("tested on its own")
    layer, plain = trained(name), norms[name](4, affine=False)
    assert plain.weight is None and plain.bias is None
    layer.eval()
    x = torch.randn(8, 4, 5)
    with torch.no_grad():
        weight, bias = layer.weight.clone(), layer.bias.clone()
        y = run(layer, x)
        layer.weight.fill_(1), layer.bias.zero_()
        inner = run(layer, x)
        torch.testing.assert_close(y, inner * weight[:, None] + bias[:, None])
        layer.weight.zero_(), layer.bias.copy_(bias)
        assert torch.equal(run(layer, x), bias[:, None].expand_as(x))


def test_without_an_affine_the_first_batch_is_as_with_its_start(name):
    x = torch.randn(8, 4, 5)
    torch.testing.assert_close(run(norms[name](4, affine=False), x), run(norms[name](4), x))


@pytest.mark.parametrize("batches", [0, 2])
def test_a_copy_goes_on_like_the_original(name, batches):
    layer = norms[name](4)
    for _ in range(batches):
        run(layer, torch.randn(8, 4))
    twin, x = copy.deepcopy(layer), torch.randn(8, 4) + 3
    assert torch.equal(run(twin, x), run(layer, x))
    before = {key: value.clone() for key, value in twin.state_dict().items()}
    run(layer, x * 10)
    assert all(torch.equal(value, before[key]) for key, value in twin.state_dict().items())


@pytest.mark.parametrize("batches", [0, 2])
def test_a_loaded_layer_goes_on_like_the_saved_one(name, batches):
    layer, loaded = norms[name](4), norms[name](4)
    run(loaded, torch.randn(8, 4) * 100)
    for _ in range(batches):
        run(layer, torch.randn(8, 4))
    loaded.load_state_dict(load(save(layer.state_dict())))
    for _ in range(2):
        x = torch.randn(8, 4) + 3
        assert torch.equal(run(loaded, x), run(layer, x))
    assert torch.equal(run(loaded.eval(), x), run(layer.eval(), x))


@pytest.mark.parametrize("batches", [0, 2])
def test_state_written_into_a_layer_is_all_it_takes(name, batches):
    """As averages of weights and broadcasts between processes write it: no hook is called."""
    layer, written, called = norms[name](4), norms[name](4), norms[name](4)
    run(written, torch.randn(8, 4) * 100)
    for _ in range(batches):
        run(layer, torch.randn(8, 4))
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    with torch.no_grad():
        for key, value in written.state_dict().items():
            value.copy_(state[key])
    for _ in range(2):
        x = torch.randn(8, 4) + 3
        expected = run(layer, x)
        assert torch.equal(run(written, x), expected)
        with share_context(called).bind(ids_of(x)):
            assert torch.equal(functional_call(called, state, (x,)), expected)


@pytest.mark.parametrize("batches", [0, 2])
def test_an_average_of_the_first_copy_goes_on_where_training_is(name, batches):
    layer = norms[name](4)
    average = AveragedModel(layer, use_buffers=True, avg_fn=lambda old, new, count: new)
    for _ in range(batches):
        run(layer, torch.randn(8, 4))
    average.update_parameters(layer)
    x = torch.randn(8, 4) + 3
    assert torch.equal(run(average.module, x), run(layer, x))


def test_an_average_that_began_before_the_first_batch_keeps_its_clusters(name):
    """Torch's AveragedModel rounds an integer count down to where it began: 0 for ever."""
    layer = norms[name](4)
    decay = get_ema_multi_avg_fn(0.9)
    average = AveragedModel(layer, use_buffers=True, multi_avg_fn=decay)
    for _ in range(4):
        average.update_parameters(layer)
        run(layer, torch.randn(8, 4) * 3 + 5)
    average.update_parameters(layer)
    mixture = average.module.mixture()
    if mixture is None or len(mixture.mean) == 1:
        pytest.skip("finds no clusters")
    run(average.module.train(), torch.randn(8, 4) * 3 + 500)
    moved = (average.module.mixture().mean - mixture.mean).abs()
    assert moved.max() < 400  # by momentum, and not all the way to the new batch


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_state_alone_and_training_does_not_need_it(name, training):
    layer = trained(name).train(training)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    x = torch.randn(8, 4)
    first, second = run(layer, x), run(layer, x)
    if not training:
        assert torch.equal(first, second)
        assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("shape", [(4,), (8, 5), (8, 3, 4), (1, 4, 1, 1, 1, 1)])
def test_a_wrong_shape_raises_and_says_the_right_one(name, shape):
    with pytest.raises(
        ValueError, match=rf"expects \(N, 4\) or \(N, 4, \*\).*{len(shape) and 'got'}"
    ):
        run(norms[name](4), torch.randn(shape))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_it_takes_the_place_of_a_batch_norm(name, affine, training):
    theirs = nn.BatchNorm2d(4, eps=0.02, affine=affine).train(training)
    layer = norms[name].from_batch_norm(theirs)
    assert isinstance(layer, Norm) and layer.training == training and layer.eps == 0.02
    assert (layer.weight is not None) == affine
    if affine:
        # one row per cluster, where each has its own
        assert torch.equal(layer.weight, theirs.weight.expand_as(layer.weight))
        assert torch.equal(layer.bias, theirs.bias.expand_as(layer.bias))
    assert run(layer, torch.randn(8, 4, 3, 3)).isfinite().all()


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_trained_batch_norm_lends_its_function(name, dtype, error):
    if name in LEND_NOTHING:
        pytest.skip("has no use for a BatchNorm's statistics")
    theirs = nn.BatchNorm2d(4, dtype=dtype)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
        theirs.bias.copy_(torch.tensor([0.5, 1.0, -1.0, 2.0]))
    for _ in range(20):
        theirs(torch.randn(8, 4, 3, 3, dtype=dtype) * 3 + 5)
    theirs.eval()
    x = torch.randn(8, 4, 3, 3, dtype=dtype) * 3 + 5
    ours = run(norms[name].from_batch_norm(theirs), x)
    torch.testing.assert_close(ours, theirs(x), atol=error, rtol=error)


def test_an_option_given_is_not_overruled_by_the_batch_norm(name):
    theirs = nn.BatchNorm2d(4, eps=0.02, momentum=0.7)
    layer = norms[name].from_batch_norm(theirs, eps=0.5)
    assert layer.eps == 0.5


def test_an_unknown_option_names_the_known_ones(name):
    with pytest.raises(ValueError, match=r"has no option 'colour', only .*eps.*affine"):
        norms[name].from_batch_norm(nn.BatchNorm2d(4), colour="red")
