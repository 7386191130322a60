"""Ctrl-C inside a process: nothing is lost, and nothing differs after resuming."""

import signal
import threading

import pytest
import torch

from dacbn.methods import SourceOnly, methods
from dacbn.training import InterruptedTraining, Records, load_checkpoint, read_records
from dacbn.training.interrupt import PATIENCE, SIGNALS, Interrupt, Stopped, raising_stopped

VARIANTS = {
    "adamw": {},
    "average": {"ema_decay": 0.8},
    "sgd": {"optimizer": "sgd", "schedule": "dann", "clip_norm": 1.0},
    "learned mixture": {"norm": "ucb_norm(update='learned', num_clusters=2)"},
    "known clusters": {"norm": "scb_norm", "ema_decay": 0.5},
    "random method": {"method": "Noisy", "norm": None},
    "two rates": {"backbone_lr_factor": 0.1, "warmup": 0.5, "bottleneck": 8, "train": "norms"},
    "head": {"train": "head", "augment": "photos", "ema_decay": 0.9},
}


class Noisy(SourceOnly):
    """Draw from torch's own random numbers, as dropout does."""

    def forward(self, batch, progress):  # noqa: D102
        images = batch.source_images
        return super().forward(batch._replace(source_images=images + torch.randn(())), progress)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(methods._entries, "Noisy", Noisy)


def ask_to_stop(monkeypatch, step):
    """Press Ctrl-C while the numbers of a step are being written."""
    add = Records.add

    def press(self, at, numbers):
        if at == step:
            signal.raise_signal(signal.SIGINT)
        add(self, at, numbers)

    monkeypatch.setattr(Records, "add", press)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_resumed_training_equals_one_that_never_stopped(
    tiny, source, target, weights, untimed, tmp_path, monkeypatch, options
):
    whole = tiny(**options).fit(source, target, source_test=source)
    with monkeypatch.context() as patch:
        ask_to_stop(patch, 2)
        with pytest.raises(InterruptedTraining):
            tiny(**options).fit(source, target, source_test=source, run=tmp_path)
    resumed = tiny(**options).fit(source, target, source_test=source, run=tmp_path, resume=True)
    assert weights(resumed) == weights(whole)
    assert untimed(resumed.records) == untimed(whole.records)
    assert read_records(tmp_path) == resumed.records


def test_ctrl_c_while_scoring_loses_no_step(tiny, source, target, tmp_path, monkeypatch):
    ask_to_stop(monkeypatch, 3)
    with pytest.raises(InterruptedTraining, match="stopped after step 4 of 6"):
        tiny(checkpoint_every=0).fit(source, target, run=tmp_path)
    assert load_checkpoint(tmp_path)["step"] == 4


def test_ctrl_c_in_the_last_step_finishes(tiny, source, target, monkeypatch):
    ask_to_stop(monkeypatch, 6)
    assert tiny().fit(source, target).records[-1]["step"] == 6


def test_an_interrupted_adapter_predicts_with_what_it_has_learned(
    tiny, source, target, monkeypatch
):
    ask_to_stop(monkeypatch, 2)
    adapter = tiny()
    with pytest.raises(InterruptedTraining):
        adapter.fit(source, target)
    assert adapter.predict(target[0]).shape == (17,)


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_that_asks_to_end_saves_and_says_so_at_once(
    tiny, source, target, tmp_path, monkeypatch, capfd, number
):
    said = []

    def press(self, *_):
        if not said:
            signal.raise_signal(number)
            said.append(capfd.readouterr().err)

    monkeypatch.setattr("dacbn.training.loop.Forecast.after_step", press)
    with pytest.raises(InterruptedTraining, match="stopped after step 1 of 6") as stop:
        tiny(checkpoint_every=0).fit(source, target, run=tmp_path)
    assert stop.value.number == number
    assert f"dacbn: {number.name}: the training is saved and stops after this step" in said[0]
    assert load_checkpoint(tmp_path)["step"] == 1


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_twice_is_one_wish(number):
    with Interrupt() as interrupt:
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert interrupt.requested == number


def test_ctrl_c_acts_as_usual_when_it_comes_again_later(monkeypatch):
    clock = iter([100.0, 100.08, 100.0 + PATIENCE + 0.1])
    monkeypatch.setattr("dacbn.training.interrupt.time.monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt), Interrupt():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_ignored_stays_ignored(number):
    """Nohup ignores SIGHUP, and shells ignore SIGINT for commands in the background of a script."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with raising_stopped(), Interrupt() as interrupt:
            signal.raise_signal(number)
            assert interrupt.requested is None
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_are_as_before_afterwards(number):
    before = signal.getsignal(number)
    with raising_stopped():
        with Interrupt() as interrupt:
            signal.raise_signal(number)
            assert interrupt.requested == number
        with pytest.raises(Stopped) as stop:
            signal.raise_signal(number)
        assert stop.value.number == number
    assert signal.getsignal(number) is before


def test_what_a_program_does_on_its_own_signals_stays():
    """As submitit's, which handles SIGUSR1 itself."""
    calls = []
    before = signal.signal(signal.SIGUSR1, lambda *_: calls.append("own"))
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGUSR1)
        assert calls == ["own"] and interrupt.requested is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_during_a_long_evaluation_ends_the_training_after_it(
    tiny, source, target, tmp_path, monkeypatch
):
    def score(*_):
        signal.raise_signal(signal.SIGTERM)
        return {"accuracy": 1.0, "class_accuracy": 1.0}

    monkeypatch.setattr("dacbn.training.domains.score_output", score)
    adapter = tiny(eval_every=2, checkpoint_every=0, validators=())
    with pytest.raises(InterruptedTraining, match="stopped after step 2 of 6"):
        adapter.fit(source, target, source_test=source, run=tmp_path)
    assert load_checkpoint(tmp_path)["step"] == 2
    assert [row["step"] for row in read_records(tmp_path)] == [1, 2, 2]


def test_a_training_in_another_thread_is_possible():
    entered = []

    def enter():
        with Interrupt() as interrupt:
            entered.append(interrupt.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [None]
