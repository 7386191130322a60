"""The arithmetic of training: steps, clipping, schedules and averages."""

import copy
import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.methods import Step
from dacbn.training import (
    Records,
    TrainConfig,
    TrainingDomains,
    TrainingState,
    create_state,
    evaluate,
    run_network,
    train,
)
from dacbn.training.metric_window import MetricWindow
from dacbn.training.schedules import lr_factor

CPU = torch.device("cpu")


def start(source, target, **options):
    defaults = {"method": "source_only", "norm": None, "device": "cpu", "precision": "float32"}
    options = {**defaults, **options}
    config = TrainConfig.from_options(source_batch_size=8, target_batch_size=8, **options)
    domains = TrainingDomains.read(config, 32, [source], [target])
    return config, create_state(config, 2, 32, CPU), domains.stream(config, CPU, False)


def flat(module):
    return torch.cat([p.detach().double().flatten() for p in module.parameters()])


def one_step(source, target, **options):
    """Return weights before and after one step, and the gradient, all in float64."""
    config, state, stream = start(source, target, steps=1, schedule="constant", **options)
    before, twin = flat(state.method), copy.deepcopy(state.method)
    batch = next(stream(0))
    output = twin.network(batch.source_images, torch.zeros(8, dtype=torch.int64))
    F.cross_entropy(output.logits, batch.source_labels).backward()
    gradient = torch.cat([p.grad.double().flatten() for p in twin.parameters()])
    train(state, stream, config, Records(None))
    return before, flat(state.method), gradient


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_checkpoint_of_another_memory_format_continues_alike(source, target, optimizer):
    config, state, stream = start(source, target, steps=2, optimizer=optimizer)
    state.method.to(memory_format=torch.contiguous_format)
    config_of_one = dataclasses.replace(config, steps=1)
    train(state, stream, config_of_one, Records(None))
    saved, results = copy.deepcopy(state.state_dict()), []
    for form in (torch.contiguous_format, torch.channels_last):
        _, again, stream = start(source, target, steps=2, optimizer=optimizer)
        again.method.to(memory_format=form)
        again.load_state_dict(copy.deepcopy(saved))
        train(again, stream, config, Records(None))
        results.append(flat(again.method))
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)


def test_adamw_decays_decoupled_and_steps_by_the_sign(source, target):
    before, after, gradient = one_step(source, target, lr=0.01, weight_decay=0.5)
    adam = gradient / (gradient.abs() + 1e-8)
    expected = before - 0.01 * 0.5 * before - 0.01 * adam
    torch.testing.assert_close(after, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("clip_norm", [None, 0.01, 1e6])
def test_sgd_has_nesterov_momentum_decay_and_a_clipped_gradient(source, target, clip_norm):
    options = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.3, "clip_norm": clip_norm}
    before, after, gradient = one_step(source, target, **options)
    assert gradient.norm() > 0.02
    clipped = gradient * min(1, (clip_norm or math.inf) / gradient.norm())
    expected = before - 0.1 * (1 + 0.9) * (clipped + 0.3 * before)
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 0.001), ("sgd", 0.01)])
@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("constant", lambda p: 1),
        ("cosine", lambda p: math.cos(math.pi * p / 2) ** 2),
        ("dann", lambda p: 1 / (1 + 10 * p) ** (3 / 4)),
    ],
)
def test_learning_rates_follow_their_closed_forms(
    tiny, source, target, optimizer, lr, schedule, factor
):
    adapter = tiny(optimizer=optimizer, schedule=schedule, norm=None, method="source_only", steps=4)
    rates = [row["lr"] for row in adapter.fit(source, target).records]
    assert rates == pytest.approx([lr * factor(step / 4) for step in range(4)])


def test_the_backbone_learns_at_a_fraction_of_the_rate(source, target):
    options = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0, "method": "dann"}
    shares = []
    for factor in (1.0, 0.25):
        config, state, stream = start(
            source, target, steps=1, bottleneck=4, backbone_lr_factor=factor, **options
        )
        before = {name: p.detach().clone() for name, p in state.method.named_parameters()}
        train(state, stream, config, Records(None))
        shares.append({n: p - before[n] for n, p in state.method.named_parameters()})
    for name, step in shares[1].items():
        share = 0.25 if name.startswith("network.backbone.") else 1.0
        torch.testing.assert_close(step, share * shares[0][name], rtol=2e-3, atol=1e-7)
    assert {"domain_head.0.weight", "network.bottleneck.0.weight"} <= shares[1].keys()


def test_the_rate_that_is_logged_is_that_of_the_heads(tiny, source, target):
    adapter = tiny(backbone_lr_factor=0.5, schedule="constant", norm=None, steps=1)
    assert adapter.fit(source, target).records[-1]["lr"] == 0.001


@pytest.mark.parametrize(
    ("warmup", "rises"),
    [(0.5, [1 / 4, 2 / 4, 3 / 4, 1, 1, 1, 1, 1]), (0.2, [1 / 1.6, 1, 1]), (0.0, [1]), (0.01, [1])],
)
def test_the_rate_rises_over_a_share_of_the_steps(tiny, source, target, warmup, rises):
    options = {"method": "source_only", "norm": None, "steps": 8, "checkpoint_every": 0}
    adapter = tiny(warmup=warmup, **options)
    rates = [row["lr"] for row in adapter.fit(source, target).records]
    rises = [*rises, *[1] * (8 - len(rises))]
    cosine = [math.cos(math.pi * step / 16) ** 2 for step in range(8)]
    assert rates == pytest.approx([0.001 * c * r for c, r in zip(cosine, rises, strict=True)])


def test_a_method_with_stages_has_a_say_in_the_rate(tiny, source, target):
    adapter = tiny(method="adda(source_share=0.5, lr_share=0.25)", norm=None, steps=4)
    rates = [row["lr"] for row in adapter.fit(source, target).records]
    cosine = [math.cos(math.pi * step / 8) ** 2 for step in range(4)]
    expected = [0.001 * c * share for c, share in zip(cosine, (1, 1, 0.25, 0.25), strict=True)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("precision", "capabilities", "in_bfloat16"),
    [
        ("auto", {"avx512_bf16": True, "amx_bf16": False}, True),
        ("auto", {"avx512_bf16": False}, False),
        ("auto", {}, False),
        ("float32", {"amx_bf16": True}, False),
        ("bfloat16", {}, True),
    ],
)
def test_auto_takes_the_bfloat16_that_the_cpu_has(
    source, target, monkeypatch, precision, capabilities, in_bfloat16
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    config, state, stream = start(source, target, steps=1, precision=precision)
    seen = []
    state.network.register_forward_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu")), always_call=True
    )
    train(state, stream, config, Records(None))
    assert seen == [in_bfloat16]
    assert all(p.dtype == torch.float32 for p in state.method.parameters())


def test_schedules_start_at_the_whole_rate():
    assert [lr_factor(name, 0) for name in ("constant", "cosine", "dann")] == [1, 1, 1]


def test_the_average_forgets_fast_at_first_and_at_its_decay_later(source, target):
    options = {"ema_decay": 0.4, "schedule": "constant", "lr": 0.01}
    config, state, stream = start(source, target, steps=9, **options)
    seen = []

    def watched(first):
        for batch in stream(first):
            seen.append(flat(state.method.network))  # after the step before
            yield batch

    train(state, watched, config, Records(None))
    history = [*seen[1:], flat(state.method.network)]
    expected = history[0]
    for decay, row in zip([2 / 11, 3 / 12, 4 / 13, 5 / 14, *[0.4] * 4], history[1:], strict=True):
        expected = decay * expected + (1 - decay) * row
    torch.testing.assert_close(flat(state.network), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(expected, history[-1], atol=1e-4)


def test_the_average_has_the_statistics_of_the_network(source, target):
    # an average of parameters alone would normalise as at the start, as EMA of torch-uncertainty
    # 0.13.0 does (methods/ema.py)
    options = {"ema_decay": 0.9, "norm": "batch_norm"}
    config, state, stream = start(source, target, steps=2, **options)
    before = {name: buffer.clone() for name, buffer in state.network.named_buffers()}
    train(state, stream, config, Records(None))
    after, wanted = (dict(each.named_buffers()) for each in (state.network, state.method.network))
    assert any(not torch.equal(after[name], before[name]) for name in before)
    torch.testing.assert_close(after, wanted, rtol=0, atol=0)


def test_the_averaged_network_is_what_is_scored_and_kept(tiny, source, target, tmp_path):
    adapter = tiny(ema_decay=0.9, checkpoint_every=0).fit(
        source, target, source_test=source, run=tmp_path
    )
    again = type(adapter).from_pretrained(tmp_path, device="cpu")
    raw = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["method"]
    kept = again.network.state_dict()
    assert any(not torch.equal(kept[name], raw[f"network.{name}"]) for name in kept)
    assert adapter.records[-1]["source_test_accuracy"] == again.score(source, cluster_id=0)


def test_source_digits_are_learned_within_sixty_steps(tiny):
    options = {"source_batch_size": 64, "target_batch_size": 1, "steps": 60, "log_every": 10}
    options |= {"method": "source_only", "norm": "ucb_norm", "precision": "float32"}
    adapter = tiny(checkpoint_every=0, **options)
    rows = adapter.fit("digits", "color_digits", source_test="digits").records
    losses = [row["classification"] for row in rows if "classification" in row]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 3
    assert rows[-1]["source_test_accuracy"] > 0.9


def test_a_step_is_kept_without_being_looked_at(monkeypatch):
    def refuse(*_):
        raise AssertionError("this waits for the device")

    window, step = MetricWindow(), Step({"a": torch.ones(())}, {"b": torch.ones(())})
    for name in ("item", "cpu", "tolist", "numpy", "__bool__", "__float__"):
        monkeypatch.setattr(Tensor, name, refuse)
    window.add(step)
    with pytest.raises(AssertionError, match="waits for the device"):
        window.read(1)


def test_numbers_are_read_and_weights_checked_at_logs_only(tiny, source, target, monkeypatch):
    calls = []
    read, is_finite = MetricWindow.read, TrainingState.is_finite
    monkeypatch.setattr(MetricWindow, "read", lambda *a: [calls.append("read"), read(*a)][1])
    monkeypatch.setattr(
        TrainingState, "is_finite", lambda *a: [calls.append("check"), is_finite(*a)][1]
    )
    tiny(log_every=3, norm=None, checkpoint_every=0).fit(source, target)
    assert calls == ["read", "check"] * 2


def test_a_logged_number_is_the_mean_of_its_window(tiny, source, target):
    each = tiny(norm=None).fit(source, target).records
    third = tiny(norm=None, log_every=3, checkpoint_every=0).fit(source, target).records
    for row, rows in zip(third, (each[:3], each[3:]), strict=True):
        assert row["classification"] == pytest.approx(sum(r["classification"] for r in rows) / 3)


def test_scoring_leaves_the_network_in_training_mode(source, target):
    _, state, _ = start(source, target, steps=1)
    domains = TrainingDomains.read(TrainConfig(), 32, [source], [target], [source])
    (test,) = (each.images for each in domains.tests)
    evaluate(state.network, test, 0, CPU)
    assert state.network.training
    run_network(state.network.eval(), test.images, 0, CPU)
    assert not state.network.training


def test_sgd_takes_a_parameter_whose_first_gradient_comes_late(tiny, source, target):
    """The domain head of adda waits for the second stage; torch's fused SGD cannot, by itself."""
    tiny(method="adda", optimizer="sgd", steps=4).fit(source, target)


def test_momentum_from_zeros_is_that_of_torch(source, target):
    config, state, _ = start(source, target, optimizer="sgd", steps=3)
    alone = copy.deepcopy(state.method)
    parameters = list(alone.parameters())
    reference = torch.optim.SGD(
        parameters, lr=0.01, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
    )
    for step in range(3):
        for ours, theirs in zip(state.method.parameters(), parameters, strict=True):
            theirs.grad = torch.full_like(theirs, 0.1 * (step + 1))
            ours.grad = theirs.grad.clone()
        state.optimizer.step()
        reference.step()
    assert torch.allclose(flat(state.method), flat(alone), rtol=1e-6, atol=1e-9)
