"""What torch does to a network does not change what its layers share."""

import copy

import pytest
import timm
import torch
from shared_gate_network import OWN, SHARED, converted, images, photos
from torch.utils.checkpoint import checkpoint

from dacbn.models import convert_norms


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("blocks", [("first", "second"), ("second",)])
def test_checkpointed_blocks_have_the_gradients_and_statistics_of_others(training, blocks):
    model = converted().train(training)
    twin = copy.deepcopy(model)
    for block in blocks:
        run = getattr(twin, block)
        setattr(twin, block, lambda x, run=run: checkpoint(run, x, use_reentrant=False))
    results = []
    for each in (model, twin):
        leaves = [images(6, 3, 0.2), images(5, 4, 0.3) + 0.5, images(6, 5, 0.3) - 0.5]
        leaves = [x.requires_grad_() for x in leaves]
        for y in [each(x) for x in leaves]:
            y.pow(3).sum().backward()
        results.append([*(x.grad for x in leaves), *(p.grad for p in each.parameters())])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    for key, value in model.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value), key


def test_reentrant_checkpoints_are_refused_since_they_lose_the_gradient_of_the_gate():
    model = converted()
    second = model.second
    model.second = lambda x: checkpoint(second, x, use_reentrant=True)
    loss = model(images()).square().sum()
    with pytest.raises(RuntimeError, match="share a gate with use_reentrant=False"):
        loss.backward()


def test_timms_checkpoints_work():
    model = timm.create_model("resnet18", num_classes=3)
    convert_norms(model, SHARED)
    twin = copy.deepcopy(model)
    twin.set_grad_checkpointing(True)
    x = photos(4)
    for each in (model, twin):
        each(x).square().sum().backward()
    torch.testing.assert_close(
        twin.conv1.weight.grad, model.conv1.weight.grad, rtol=1e-3, atol=1e-3
    )


def test_functional_transforms_agree_with_autograd():
    model, x = converted().eval(), images(apart=0.2)

    def loss(x):
        return model(x).sin().sum()

    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(x), wanted)
    two = torch.stack([x, x + 1])
    torch.testing.assert_close(torch.func.vmap(model)(two), torch.stack([model(x) for x in two]))
    state = {name: value * 0.9 for name, value in model.state_dict().items()}
    twin = copy.deepcopy(model)
    twin.load_state_dict(state)
    torch.testing.assert_close(torch.func.functional_call(model, state, (x,)), twin(x))


@pytest.mark.parametrize("training", [True, False])
def test_it_compiles_with_its_network(training):
    model, x = converted().train(training), images(seed=3, apart=0.2)
    twin = copy.deepcopy(model)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for _ in range(2):
        torch.testing.assert_close(compiled(x), twin(x))
    for key, value in twin.state_dict().items():
        if "num_batches" not in key:
            torch.testing.assert_close(model.state_dict()[key], value)


def test_half_precision_is_computed_in_single():
    model, x = converted().eval(), images()
    half = copy.deepcopy(model).bfloat16()
    assert half(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(half(x.bfloat16()).float(), model(x), rtol=0.1, atol=0.2)


def test_a_saved_network_goes_on_as_if_never_saved(tmp_path):
    model, loaded = converted(), converted()
    loaded(images(seed=9) * 10)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    loaded.load_state_dict(torch.load(tmp_path / "state.pt"))
    for seed in (3, 4):
        assert torch.equal(loaded(images(seed=seed)), model(images(seed=seed)))
    torch.save(model, tmp_path / "whole.pt")
    whole = torch.load(tmp_path / "whole.pt", weights_only=False)
    assert torch.equal(whole(images(seed=5)), model(images(seed=5)))


def test_a_state_of_layers_with_gates_of_their_own_can_be_loaded():
    model = converted()
    model.load_state_dict(converted(OWN).state_dict())
    assert model(images()).isfinite().all()


def test_copies_and_other_networks_share_among_their_own_layers():
    model = converted()
    twin = copy.deepcopy(model)
    assert twin.late.shared is twin.early.shared is not model.late.shared
    other, x = converted(), images(seed=3)

    def interrupted(*_):
        other(images(2, seed=8)), twin(images(3, seed=8))

    wanted = copy.deepcopy(model)(x)
    model.late.register_forward_pre_hook(interrupted)
    assert torch.equal(model(x), wanted)
