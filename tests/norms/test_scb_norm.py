"""SCB-Norm and its base variant: learned statistics of known clusters."""

import numpy as np
import pytest
import table_norm_reference as reference
import torch
from safetensors.torch import load_file, save_file

from dacbn.norms import SCBNorm, SCBNormBase

IDS = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
KINDS = [SCBNorm, SCBNormBase]


def run(layer, x, ids=IDS):
    with layer.context.bind(ids):
        return layer(x)


def two_populations(*positions):
    """Return x (8, 3, *) whose clusters differ in place and scale."""
    x = torch.randn(8, 3, *positions)
    return torch.where((IDS == 0).reshape(8, *[1] * (x.ndim - 1)), 3 * x + 4, 0.2 * x - 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_outputs_follow_the_equation(kind, training, eps):
    layer = kind(3, 2, eps=eps)
    run(layer, two_populations(5))
    mean, log_std = layer.mean, layer.log_std
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        if kind is SCBNormBase:
            mean, log_std = mean + layer.shared_mean, log_std + layer.shared_log_std
    x = torch.randn(8, 3, 5)
    wanted = reference.normalised(
        x.double().numpy(),
        IDS.tolist(),
        mean.detach().double().numpy(),
        log_std.detach().double().numpy(),
        eps,
    )
    affine = [value.detach().double().numpy()[:, None] for value in (layer.weight, layer.bias)]
    found = run(layer.train(training), x).detach().numpy()
    np.testing.assert_allclose(found, wanted * affine[0] + affine[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", [(), (6,), (4, 5)])
def test_each_cluster_is_standardised_on_the_first_batch(kind, positions):
    y = run(kind(3), two_populations(*positions)).transpose(0, 1)
    for k in range(2):
        part = y[:, k == IDS].flatten(1)
        torch.testing.assert_close(part.mean(1), torch.zeros(3), atol=1e-3, rtol=0)
        torch.testing.assert_close(part.std(1, correction=0), torch.ones(3), atol=2e-2, rtol=0)


def test_only_the_first_batch_places_the_clusters():
    layer = SCBNorm(3)
    run(layer, two_populations(6))
    before = layer.mean.clone(), layer.log_std.clone()
    run(layer, two_populations(6) + 100)
    assert torch.equal(layer.mean, before[0]) and torch.equal(layer.log_std, before[1])


def test_evaluation_never_places_the_clusters():
    layer = SCBNorm(3).eval()
    run(layer, two_populations(6))
    assert layer.mean.eq(0).all() and layer.uninitialised


def test_a_cluster_absent_from_the_first_batch_starts_on_all_data():
    layer, x = SCBNorm(3, num_clusters=3), two_populations(50)
    run(layer, x)
    torch.testing.assert_close(layer.mean[2].detach(), x.mean((0, 2)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.log_std[2].exp().detach(), x.std((0, 2)), rtol=1e-2, atol=0)


def test_a_cluster_with_one_value_does_not_explode_what_comes_after():
    layer, x = SCBNorm(3), torch.randn(8, 3)
    run(layer, x, torch.tensor([1, 0, 0, 0, 0, 0, 0, 0]))
    assert run(layer, torch.randn(8, 3)).abs().max() < 20


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_only_the_rows_of_clusters_in_the_batch(kind):
    layer = kind(3, num_clusters=4)
    (run(layer, torch.randn(8, 3, 5), 2 * IDS) ** 3).sum().backward()
    for name in ("mean", "log_std"):
        reached = getattr(layer, name).grad.abs().sum(1) > 0
        assert reached.tolist() == [True, False, True, False]


def test_the_base_variant_starts_equal_and_its_bias_hears_every_cluster():
    plain, base, x = SCBNorm(3), SCBNormBase(3), two_populations(5)
    torch.testing.assert_close(run(base, x), run(plain, x))
    (run(base, x) ** 3).sum().backward()
    torch.testing.assert_close(base.shared_mean.grad, base.mean.grad.sum(0))
    torch.testing.assert_close(base.shared_log_std.grad, base.log_std.grad.sum(0))
    assert base.shared_mean.grad.abs().min() > 0
    assert plain.shared_mean is None and plain.shared_log_std is None


def test_training_steps_keep_the_affine_shared_and_the_clusters_apart():
    layer = SCBNorm(3)
    assert layer.mean.shape == (2, 3) and layer.weight.shape == (3,)
    x = torch.randn(8, 3)
    layer.eval()
    with torch.no_grad():
        layer.mean[1] += 5
    moved = run(layer, x) - run(layer, x, torch.zeros_like(IDS))
    assert moved[IDS == 0].abs().max() == 0
    torch.testing.assert_close(
        moved[IDS == 1].detach(), torch.full((4, 3), -5.0), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batches", [0, 1])
def test_a_layer_from_disk_goes_on_as_if_never_saved(tmp_path, kind, batches):
    layer, loaded = kind(3), kind(3)
    run(loaded, two_populations() * 50)
    for _ in range(batches):
        run(layer, two_populations())
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    loaded.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    x = two_populations() + 7
    assert torch.equal(run(loaded, x), run(layer, x))
    assert torch.equal(loaded.mean, layer.mean)


def test_no_ids_raises_with_the_cure():
    with pytest.raises(RuntimeError, match=r"network\(images, cluster_ids=ids\)"):
        SCBNorm(3)(torch.randn(8, 3))


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (IDS[:, None], "flatten them"),
        (IDS.float(), r"\.long\(\)"),
        (IDS.int(), r"\.long\(\)"),
        (IDS[:5], "5 cluster ids for 8 images"),
        (IDS + 1, "raise num_clusters"),
        (IDS - 1, "raise num_clusters"),
    ],
)
def test_ids_that_do_not_fit_raise_with_the_cure(ids, text):
    with pytest.raises(ValueError, match=text):
        run(SCBNorm(3), torch.randn(8, 3), ids)
