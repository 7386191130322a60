"""The forecast of a training's duration: right by arithmetic, and its advice exists."""

import dataclasses
import logging
import re

import numpy as np
import pytest
import torch

from dacbn.batch import Batch, TargetBatch
from dacbn.methods import methods
from dacbn.models import create_network
from dacbn.training import TrainConfig, TrainingState, forecast
from dacbn.training.forecast import Forecast

CONFIG = TrainConfig(steps=1003, source_batch_size=20, target_batch_size=30, eval_every=100)


@pytest.fixture
def clock(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "dacbn")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(scope="module")
def state():
    network = create_network("digits_cnn", "batch_norm", 2, pretrained=False)
    return TrainingState.create(methods.build("source_only", network), CONFIG)


def make_batch(size=128):
    source, target = torch.zeros(20, 3, size, size), torch.zeros(30, 3, size, size)
    return Batch(source, torch.zeros(20, dtype=torch.int64), target)


def run(state, config, clock, seconds, images=0, batch=None, begun=0):
    """Take steps that last as given."""
    state.step = begun
    timed = Forecast(state, config, images)
    for each in seconds:
        clock[0] += each
        state.step += 1
        timed.after_step(batch or make_batch())
    timed.close()


def test_the_first_step_is_not_typical(state, clock, said):
    run(state, CONFIG, clock, [99.0, 0.3, 0.5, 7.0, 7.0])
    line, advice = said()
    assert advice.startswith("shorter: image_size=64 (about 2 min); steps=250 (about 2 min)")
    images = "50 images of 128 x 128 pixels"
    assert line == f"about 7 min left on this CPU: 1000 steps of 0.4 s for {images}"


def test_a_compiled_network_is_not_typical_in_its_second_step(state, clock, said):
    compiled = dataclasses.replace(CONFIG, compile=True)
    run(state, compiled, clock, [9.0, 99.0, 0.2])
    assert said()[0].startswith("about 3 min left on this CPU: 1000 steps of 0.2 s")


def test_a_resumed_training_says_what_is_left_and_gives_no_advice(state, clock, said):
    run(state, CONFIG, clock, [9.0, 3.0, 3.0], begun=500)
    (line,) = said()
    assert line.startswith("about 25 min left on this CPU: 500 steps of 3 s")


def test_evaluations_count_where_they_matter(state, clock, said):
    """11 evaluations of 500 images, each at a third of the time of a training image."""
    run(state, CONFIG, clock, [1.0, 0.3, 0.3], images=5000)
    each = 5000 / 50 * 0.3 / 3
    whole = (1000 * 0.3 + 11 * each) / 60
    assert said()[0].startswith(f"about {whole:.0f} min left")
    assert said()[0].endswith(", and 11 evaluations of 10 s")
    run(state, CONFIG, clock, [1.0, 0.3, 0.3], images=50)
    assert "evaluations" not in said()[2]


def test_an_evaluation_is_no_part_of_a_step(state, clock, said):
    """With --eval-every 1, each of the steps that are timed is followed by one."""
    state.step = 0
    timed = Forecast(state, CONFIG, 0)
    for _ in range(3):
        clock[0] += 0.4
        state.step += 1
        timed.after_step(make_batch())
        with timed.paused():
            clock[0] += 50
    timed.close()
    assert said()[0].startswith("about 7 min left on this CPU: 1000 steps of 0.4 s")


def test_a_long_training_says_what_would_make_it_shorter(state, clock, said):
    run(state, CONFIG, clock, [9.0, 6.0, 6.0], images=60000)
    length, advice = said()
    total = 1000 * 6 + 11 * 2400
    assert length.startswith("about 9 h 0 min left") and total == 9 * 3600
    assert advice.startswith("shorter: image_size=64 (about 2 h 15 min); steps=250 (about ")
    assert "source_batch_size=10 target_batch_size=15 (about 8 h 10 min)" in advice
    assert "eval_every=0 (about 2 h 20 min)" in advice
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    options = set(re.findall(r"(\w+)=", advice))
    assert options and options <= known
    for option, value in re.findall(r"(\w+)=(\d+)", advice):
        TrainConfig.from_options(**{option.replace("-", "_"): int(value)})


def test_a_short_training_gives_no_advice(state, clock, said):
    run(state, CONFIG, clock, [9.0, 0.05, 0.05])
    assert len(said()) == 1


def test_an_adaptation_keeps_its_network(state, clock, said):
    batch = TargetBatch(torch.zeros(30, 3, 128, 128), torch.arange(30))
    run(state, CONFIG, clock, [9.0, 6.0, 6.0], batch=batch)
    assert set(re.findall(r"(\w+)=", said()[1])) == {"steps", "target_batch_size"}


def test_features_are_no_images_whose_size_could_be_smaller(state, clock, said):
    images, labels = torch.zeros(32, 256), torch.zeros(32, dtype=torch.int64)
    run(state, CONFIG, clock, [9.0, 6.0, 6.0], batch=Batch(images, labels, images[:18]))
    forecast, advice = said()
    assert "50 images of 256 features" in forecast
    assert "image_size" not in advice and "steps" in advice


def test_a_training_that_is_nearly_over_says_nothing(state, clock, said):
    run(state, dataclasses.replace(CONFIG, steps=3), clock, [9.0, 9.0, 9.0])
    assert said() == []


def test_costly_normalisers_are_named_with_their_share(state, said, monkeypatch):
    """Layers that sleep take most of a forward pass."""
    import time

    from dacbn.norms import BatchNorm

    forward = BatchNorm.forward

    def slow(layer, x):
        time.sleep(0.02)
        return forward(layer, x)

    monkeypatch.setattr(BatchNorm, "forward", slow)
    monkeypatch.setattr(forecast, "LONG", 0)
    state.step = 0
    timed = Forecast(state, CONFIG, 0)
    for _ in range(3):
        state.method.network(torch.zeros(4, 3, 32, 32), torch.zeros(4, dtype=torch.int64))
        state.step += 1
        timed.after_step(make_batch(32))
    share = re.search(r"norm_sites=\'first\' \(the normalisers take (\d+)% of a forward", said()[1])
    assert share is not None and 60 <= int(share[1]) <= 100


def test_a_training_forecasts_itself_and_changes_nothing_by_that(
    tiny, source, target, weights, said, monkeypatch
):
    """In the end no hook is left, and the weights are those of a training without a forecast."""
    told = tiny().fit(source, target, source_test=source)
    assert any("left on this CPU: 3 steps of" in line for line in said())
    assert not torch.nn.modules.module._global_forward_hooks
    monkeypatch.setattr(Forecast, "after_step", lambda *_: None)
    assert weights(tiny().fit(source, target, source_test=source)) == weights(told)


def test_the_images_of_an_evaluation_are_counted(tiny, source, target, monkeypatch):
    """Two test sets, and the target once more for validators."""
    counted, found = [], []
    run_network = forecast.Forecast.__init__

    def remember(timed, state, config, images):
        found.append(images)
        run_network(timed, state, config, images)

    monkeypatch.setattr(Forecast, "__init__", remember)
    for module in ("evaluation", "validator_inputs"):
        original = __import__(f"dacbn.training.{module}", fromlist=["run_network"]).run_network

        def count(network, images, *rest, original=original):
            counted.append(len(images))
            return original(network, images, *rest)

        monkeypatch.setattr(f"dacbn.training.{module}.run_network", count)
    scored = []  # by the end of the evaluation: outputs that are kept come after it
    tiny(steps=1).fit(
        *(source, target),
        source_test=source,
        target_test=target_of(target),
        on_evaluation=lambda *_: scored.append(sum(counted)),
    )
    assert found == scored


def target_of(target):
    images, _ = target
    return images, np.arange(len(images)) % 2
