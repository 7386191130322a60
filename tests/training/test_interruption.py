"""Ctrl-C inside a process: nothing is lost, and nothing differs after resuming."""

import signal
import threading

import pytest
import torch

from dacbn.methods import SourceOnly, methods
from dacbn.training import InterruptedTraining, Records, load_checkpoint, read_records
from dacbn.training.interrupt import Interrupt

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_acts_as_usual(number):
    calls = []
    before = signal.signal(number, lambda *_: calls.append("usual"))
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(number)
            assert interrupt.requested and not calls
            signal.raise_signal(number)
            assert calls == ["usual"]
        signal.raise_signal(number)
        assert calls == ["usual", "usual"]
    finally:
        signal.signal(number, before)


def test_a_training_in_another_thread_is_possible():
    entered = []

    def enter():
        with Interrupt() as interrupt:
            entered.append(interrupt.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [False]
