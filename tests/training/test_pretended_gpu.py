"""Trainings on a pretended GPU: nothing is on the wrong device, and no step waits for it."""

import pytest
import torch
from pretended_gpu import OnGPU, WrongDeviceError, pretended_gpu
from replayed_step import Tape, floats

from dacbn.batch import Batch
from dacbn.methods import methods, source_free_methods, test_time_methods
from dacbn.norms import norms
from dacbn.training import TrainConfig, forecast
from dacbn.training.assemble import create_state
from dacbn.training.loop import optimise

STEPS = {"steps": 6, "log_every": 100, "checkpoint_every": 0, "device": "cuda"}
# What a captured graph would keep from step to step: the rate, and the adversarial strength, which
# multiplies a gradient and is a metric.
CHANGES = {"_fused_adamw_", "full_like", "mul"}
# torch checks on the host whether singular values were found; adda's second network, a copy, reads
# its state once
WAITS = {"bsp": {"_linalg_eigh"}, "bnm": {"_linalg_svd"}, "adda": {"_local_scalar_dense"}}
NORMS = {name: f"{name}(num_clusters=4)" if name == "unmix_norm" else name for name in norms}
METHODS = {name: "pada + dann" if name == "pada" else name for name in methods}
WITH_LABELS = [name for name in methods if methods[name].takes_labelled_target]

test_time_methods.__test__ = False


@pytest.fixture
def train(tiny, source, target, monkeypatch):
    """Train on the pretended GPU; returns the adapter with waits and operations of each step."""

    def run(gpu, *data, labelled=None, **options):
        steps = []
        monkeypatch.setattr(forecast.Forecast, "after_step", lambda *_: steps.append(gpu.take()))
        given = data or (source, target[0])
        adapter = tiny(**STEPS | options).fit(*given, target_labelled=labelled)
        return adapter, steps

    return run


def changes(steps):
    """Return which operations of the last step differ from those of the one before in constants."""
    (_, before), (_, after) = steps[-2:]
    assert [each[0] for each in before] == [each[0] for each in after]
    return {one[0] for one, other in zip(before, after, strict=True) if one != other}


def waits(steps):
    """Return for what the host waited after the first step, in which layers start."""
    return [each for of_step, _ in steps[1:] for each in of_step]


@pytest.mark.parametrize(
    ("options", "changing"),
    [
        ({}, CHANGES),
        (
            {"norm": "scb_norm", "method": "mcc", "optimizer": "sgd", "clip_norm": 1.0},
            {"_fused_sgd_"},
        ),
        (
            {"norm": "domain_specific_whitening", "method": "deep_coral", "ema_decay": 0.9},
            {"_fused_adamw_", "_foreach_lerp_"},
        ),
        ({"norm": "batch_norm", "method": "fixmatch", "train": "norms"}, {"_fused_adamw_"}),
    ],
    ids=["default", "clipped", "averaged", "strong views"],
)
def test_steps_wait_for_nothing_and_differ_in_few_numbers(train, options, changing):
    with pretended_gpu() as gpu:
        _, steps = train(gpu, **options)
    assert not waits(steps) and changes(steps) == changing


def test_a_training_ends_as_it_does_on_the_cpu(train, tiny, source, target):
    options = {"norm": "ucb_norm", "augment": "none", "precision": "float32", "lr": 1e-4}
    with pretended_gpu() as gpu:
        adapter, _ = train(gpu, **options)
        found = {key: each.cpu() for key, each in adapter.network.state_dict().items()}
        answers = adapter.predict_proba(target[0])
    wanted = tiny(**STEPS | options | {"device": "cpu"}).fit(source, target[0])
    torch.testing.assert_close(found, dict(wanted.network.state_dict()), rtol=1e-3, atol=1e-4)
    assert abs(answers - wanted.predict_proba(target[0])).max() < 1e-3


def test_it_finds_what_would_go_wrong_on_a_gpu():
    with pretended_gpu() as gpu:
        x = torch.ones(3, device="cuda")
        with pytest.raises(
            WrongDeviceError, match=r"add of tensors on the device, and on the host"
        ):
            x + torch.ones(3)
        with pytest.raises(WrongDeviceError, match="rand with a generator of the other device"):
            torch.rand(3, device="cuda", generator=torch.Generator())
        assert not gpu.take()[0]
        assert bool((x + 1).sum() > 2) and x[x > 2].numel() == 0
        x.to("cuda"), x.cpu(), torch.ones(3).to("cuda"), torch.ones(3).to(x, non_blocking=True)
        names = [name for name, _ in gpu.take()[0]]
        assert names == ["_local_scalar_dense", "index", "_to_copy", "_to_copy"]
        with torch.autocast("cuda", torch.bfloat16):
            lower = x @ x
            assert [lower.dtype, lower.exp().dtype] == [torch.bfloat16, torch.float32]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(norms))
def test_every_norm_trains_and_answers_on_a_gpu(train, target, source, name):
    with pretended_gpu() as gpu:
        adapter, steps = train(gpu, norm=NORMS[name], method="dann(head=(8,))")
        assert not waits(steps) and changes(steps) == CHANGES
        adapter.answers(target[0]), adapter.transform(target[0]), adapter.evaluate(target)
        adapter.recalibrate(target[0]).hold_out(source).estimate(target[0])
        list(adapter.stream(target[0], batch_size=4))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(methods))
def test_every_method_trains_on_a_gpu(train, target, sources, name):
    labelled = target if name in WITH_LABELS else None
    with pretended_gpu() as gpu:
        _, steps = train(gpu, labelled=labelled, norm="ucb_norm", method=METHODS[name])
        assert {each for each, _ in waits(steps)} == WAITS.get(name, set())
        assert changes(steps) <= CHANGES
        if labelled is None:
            data = sources, target[0]
            _, steps = train(gpu, *data, norm="scb_norm", method=METHODS[name], unknown=True)
            assert {each for each, _ in waits(steps)} == WAITS.get(name, set())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(source_free_methods))
def test_every_source_free_method_adapts_on_a_gpu(train, target, name):
    with pretended_gpu() as gpu:
        adapter, _ = train(gpu, norm="batch_norm", method="source_only")
        adapter.adapt(target[0], name)
        adapter.predict(target[0])


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch_norm", "stream_ucb_norm", "scb_norm"])
@pytest.mark.parametrize("name", list(test_time_methods))
def test_every_test_time_method_follows_on_a_gpu(train, target, name, norm):
    if name == "rotta" and norm == "stream_ucb_norm":
        pytest.skip("it brings its own norm")
    with pretended_gpu() as gpu:
        adapter, _ = train(gpu, norm=norm, method="source_only")
        for size in (4, 1):
            method = "cotta(views=2)" if name == "cotta" else name
            list(adapter.stream(target[0][:8], method, batch_size=size))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *({"classifier_start": start, "norm": "batch_norm"} for start in ("probe", "centres")),
        *({"augment": family, "method": "adamatch"} for family in ("digits", "photos", "colour")),
        {"train": "head"},
        {"bottleneck": 8, "classifier": (8,), "method": "cdan(projections=8, entropy=True) + mcc"},
        {"input_norm": "instance_norm", "balance_domains": False},
        *({"cluster_ids": ids, "norm": "scb_norm"} for ids in ("random", "swapped")),
        {"statistics": "frozen", "norm": "ucb_norm"},
        {"validators": ("entropy", "snd", "class_ami", "nearest_source"), "eval_every": 2},
        {"backbone": "resnet18", "image_size": 32, "norm": "ucb_norm(update='hybrid')"},
    ],
    ids=str,
)
def test_every_way_to_train_works_on_a_gpu(train, options):
    with pretended_gpu() as gpu:
        train(gpu, **options)


def draw_batch(seed):
    torch.manual_seed(seed)
    images = torch.rand(4, 5, 3, 16, 16)
    return Batch(images[0], torch.randint(4, (5,)), *images[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"norm": "ucb_norm(assign='sample')", "method": "dann(head=(8,))"}, 3),
        ({"norm": "scb_norm", "method": "mcc", "optimizer": "sgd"}, 1),
        ({"norm": "batch_norm", "method": "adamatch", "ema_decay": 0.9}, 4),
    ],
)
def test_a_replayed_step_is_the_next_step_but_for_few_numbers(options, count):
    config = TrainConfig.from_options(steps=40, device="cuda", **options)
    with pretended_gpu(Tape) as gpu:
        state = create_state(config, 4, 16, torch.device("cuda"))
        batch = Batch(*(each.to("cuda") for each in draw_batch(0)[:5]))

        def load(seed):
            for old, new in zip(batch[:5], draw_batch(seed), strict=False):
                old.copy_(new.to("cuda"))
            gpu.take()

        def step(seed, record=False):
            load(seed)
            gpu.recording = record
            optimise(state, state.method(batch, state.step / config.steps), config)
            gpu.recording = False
            return floats(gpu.take()[1])

        def tensors():
            moments = [each for one in state.optimizer.state.values() for each in one.values()]
            every = [*state.method.state_dict().values(), *moments]
            return [each.values for each in every if isinstance(each, OnGPU)]

        for seed in range(3):
            step(seed)
        recorded = step(3, record=True)
        before = [each.clone() for each in tensors()]
        pairs = list(zip(recorded, step(4), strict=True))
        numbers = {old: new[1] for old, new in pairs if old != new}
        assert len(numbers) == count and all(old[0] == new[0] for old, new in pairs)
        wanted = [each.clone() for each in tensors()]
        for used, equal in ((numbers, True), ({}, False)):
            for place, values in zip(tensors(), before, strict=True):
                place.copy_(values)
            load(4)
            gpu.replay(used)
            ends = zip(tensors(), wanted, strict=True)
            assert all(torch.equal(*each) for each in ends) == equal
