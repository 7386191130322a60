"""A search goes on where it was stopped, keeps what fails, and chooses without labels."""

import json
import multiprocessing
import re
import signal
import sqlite3
import sys
from contextlib import closing

import numpy as np
import pytest
from PIL import Image
from tuned_by_processes import SPACE, search_slowly

import dacbn.adapter
from dacbn import DomainAdapter, cli
from dacbn.training import (
    DivergedError,
    InterruptedTraining,
    StorageError,
    TrainConfig,
    read_records,
    read_run_info,
)
from dacbn.tuning import search, tune

pytest.importorskip("optuna", reason="needs pip install 'dacbn[tune]'")

SHORT = {
    **{"steps": 4, "source_batch_size": 4, "target_batch_size": 4, "image_size": 32},
    **{"log_every": 1, "checkpoint_every": 1, "eval_every": 2, "device": "cpu"},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for folder, light in (("a/cup", 60), ("a/pen", 0), ("b/cup", 90), ("b/pen", 30), ("c", 50)):
        (root / folder).mkdir(parents=True)
        for number in range(6):
            pixels = (random.integers(0, 150, (32, 32, 3)) + light).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


@pytest.fixture
def config(photos):
    return TrainConfig(source=str(photos / "a"), target=str(photos / "b"), **SHORT)


@pytest.fixture
def trainings(monkeypatch):
    """Replace trainings by a function of the settings; list those that were made."""
    made = []

    def train_trial(config, folder, ends_at_half):
        made.append(config)
        error = train_trial.errors.pop(len(made) - 1, None)
        if error is not None:
            raise error
        scores = train_trial.scores(config)
        ended = ends_at_half is not None and ends_at_half(scores)
        return scores, ended

    train_trial.errors, train_trial.made = {}, made
    train_trial.scores = lambda config: {"bnm": config.lr or 0.0, "snd": -(config.lr or 0.0)}
    monkeypatch.setattr(search, "train_trial", train_trial)
    return train_trial


def settings_of(found):
    return [dict(each.settings) for each in found.trials]


def test_trials_are_trained_and_the_chosen_one_predicts(config, photos, tmp_path):
    found = tune(tmp_path / "out", config, SPACE, 3)
    assert [each.state for each in found.trials] == ["finished"] * 3
    assert found.trials[0].settings == {} and found.trials[1].settings
    own = read_run_info(tmp_path / "out" / "runs" / "trial-0").config
    assert (own.lr, own.method, own.steps) == (config.lr, config.method, 4)
    changed = read_run_info(tmp_path / "out" / "runs" / "trial-1").config
    assert {n: getattr(changed, n) for n in ("lr", "method")} == found.trials[1].settings
    assert set(search.VOTERS) <= set(found.trials[0].scores)
    adapter = DomainAdapter.from_pretrained(found.run, device="cpu")
    assert adapter.predict(photos / "c").shape == (6,)
    text = (tmp_path / "out" / "tuning.md").read_text()
    assert "- ready: " in text and "out of reach of the choice: the best is trial" in text
    (count,) = re.findall(r"best is trial \d, [\d.]+% \([\d. to]+; (\d+) images, chance 50", text)
    assert text.count(f" Test images: {count}; chance reaches 50.0.") == 2
    assert "default settings are trial 0\n" in text and f"--source {photos / 'a'}" in text
    assert {each.name for each in found.run.parent.iterdir()} == {f"trial-{n}" for n in range(3)}


def test_labels_of_the_target_cannot_change_the_choice(config, trainings, tmp_path):
    """The same search, with accuracies that say the opposite."""
    chosen = []
    for sign in (1, -1):
        folder = tmp_path / str(sign)
        trainings.scores = lambda config: {"bnm": config.lr or 0.0}
        found = tune(folder, config, SPACE, 6, ["bnm"])
        for each in found.trials:
            run = folder / "runs" / f"trial-{each.number}"
            run.mkdir(parents=True)
            record = {"step": 4, "target_test_accuracy": 0.5 + sign * each.scores["bnm"]}
            (run / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        again = tune(folder, config, SPACE, 6, ["bnm"])
        assert len(again.accuracies()) == 6
        chosen.append(again.chosen)
    assert chosen[0] == chosen[1] != 0
    assert max(again.accuracies().values()) > again.accuracies()[again.chosen]
    assert "regret of the choice" in (tmp_path / "-1" / "tuning.md").read_text()


def test_what_may_end_a_training_sees_validators_only(config, tmp_path, monkeypatch):
    seen = []
    study = search._import_studies().Study
    monkeypatch.setattr(study, "should_end", lambda self, trial, scores: seen.append(scores))
    found = tune(tmp_path / "out", config, SPACE, 2, prune=True)
    records = read_records(tmp_path / "out" / "runs" / "trial-1")
    assert any("target_test_accuracy" in record for record in records)
    assert len(seen) == 1 and set(seen[0]) == set(found.trials[1].scores)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_call_goes_on_without_repeating_anything(sampler, config, trainings, tmp_path):
    whole = tune(tmp_path / "whole", config, SPACE, 12, ["bnm"], sampler)
    trainings.made.clear()
    for trials in (3, 3, 12):
        found = tune(tmp_path / "parts", config, SPACE, trials, ["bnm"], sampler)
    assert len(trainings.made) == 12
    assert settings_of(found) == settings_of(whole)
    rates = [each.settings.get("lr") for each in found.trials]
    assert len(set(rates)) == 12


def test_alternatives_of_any_kind_outlast_the_first_ten_trials(config, trainings, tmp_path):
    space = "classifier=[(), (8,), (8, 8)] clip_norm=[None, 1] balance_classes=[True, False]"
    trainings.scores = lambda config: {"bnm": float(len(config.classifier))}
    found = tune(tmp_path / "out", config, f"{space} steps=log(1, 8)", 12, ["bnm"])
    assert [each.state for each in found.trials] == ["finished"] * 12
    assert {config.classifier for config in trainings.made} == {(), (8,), (8, 8)}
    assert {type(config.steps) for config in trainings.made} == {int}


def test_a_failed_trial_is_kept_with_its_reason(config, trainings, tmp_path):
    trainings.errors = {1: DivergedError("the loss is NaN by step 3; lower lr")}
    trainings.scores = lambda config: {
        "bnm": 0.5,
        **({} if len(trainings.made) == 3 else {"snd": 1}),
    }
    found = tune(tmp_path / "out", config, SPACE, 4, ["bnm", "snd"])
    assert [each.state for each in found.trials] == ["finished", "failed", "failed", "finished"]
    assert found.trials[1].why == "the loss is NaN by step 3; lower lr"
    assert "snd is infinite or NaN" in found.trials[2].why
    text = (tmp_path / "out" / "tuning.md").read_text()
    assert "- trial 1: the loss is NaN by step 3; lower lr" in text
    assert found.chosen == 0


def test_where_all_fail_nothing_is_chosen(config, trainings, tmp_path):
    trainings.errors = {n: DivergedError("the loss is NaN") for n in range(2)}
    found = tune(tmp_path / "out", config, SPACE, 2, ["bnm"])
    assert found.chosen is None
    with pytest.raises(RuntimeError, match="no trial has finished"):
        print(found.run)
    assert "none is chosen" in (tmp_path / "out" / "tuning.md").read_text()


def test_a_stopped_trial_goes_on_with_its_settings(config, tmp_path, monkeypatch):
    started, train = [], dacbn.adapter.train

    def stop_once(state, stream, config, *rest):
        started.append((config.lr, state.step))

        def interrupted(start):
            for number, batch in enumerate(stream(start), start=1):
                if len(started) == number == 2:
                    signal.raise_signal(signal.SIGINT)
                yield batch

        train(state, interrupted, config, *rest)

    monkeypatch.setattr(dacbn.adapter, "train", stop_once)
    with pytest.raises(InterruptedTraining):
        tune(tmp_path / "out", config, "lr=log(1e-4, 1e-2)", 2)
    found = tune(tmp_path / "out", config, "lr=log(1e-4, 1e-2)", 2)
    assert [each.state for each in found.trials] == ["finished"] * 2
    rate = found.trials[1].settings["lr"]
    assert started == [(None, 0), (rate, 0), (rate, 2)]


@pytest.mark.slow
def test_processes_share_trials_and_give_back_those_of_a_killed_one(config, photos, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    folder = tmp_path / "out"
    killed = spawn.Process(target=search_slowly, args=(str(folder), str(photos), 4, 2))
    killed.start()
    killed.join(120)
    assert killed.exitcode == 9
    others = [
        spawn.Process(target=search_slowly, args=(str(folder), str(photos), 8)) for _ in range(2)
    ]
    for each in others:
        each.start()
    for each in others:
        each.join(120)
    assert [each.exitcode for each in others] == [0, 0]
    with closing(sqlite3.connect(folder / "study.db")) as study:
        states = study.execute("select number, state from trials order by number").fetchall()
    assert states == [(number, "COMPLETE") for number in range(8)]


def test_trials_below_the_median_end_at_half_but_never_the_default(config, trainings, tmp_path):
    rates = iter([0.0, *range(1, 20)])
    trainings.scores = lambda config: {"bnm": -float(next(rates)) if config.lr else -99.0}
    found = tune(tmp_path / "out", config, "lr=log(1e-4, 1e-2)", 12, ["bnm"], prune=True)
    states = [each.state for each in found.trials]
    assert states[:5] == ["finished"] * 5 and states[-1] == "ended early"
    assert found.trials[found.chosen].state == "finished"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "lr=log(1e-4, 1e-3)"}, "another space: use its settings"),
        ({"validators": ["snd"]}, "another validator"),
        ({"config": {"lr": 0.5}}, "another lr"),
        ({"config": {"validators": ("snd",)}}, "another validators"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"validators": ["bmn"]}, "Did you mean 'bnm'"),
        ({"validators": ["bnm", "bnm"]}, "each once"),
    ],
)
def test_another_search_in_the_folder_is_refused(changes, message, config, trainings, tmp_path):
    first = {"space": SPACE, "trials": 1, "validators": ["bnm"]}
    tune(tmp_path / "out", config, **first)
    changed = {**vars(config), **changes.pop("config", {})}
    with pytest.raises(ValueError, match=message):
        tune(tmp_path / "out", TrainConfig(**changed), **{**first, **changes})


def test_without_a_target_only_the_source_can_choose(config, trainings, tmp_path):
    alone = TrainConfig(**{**vars(config), "target": "none", "method": "source_only"})
    with pytest.raises(ValueError, match="bnm looks at the target, which is missing"):
        tune(tmp_path / "out", alone, None, 2, ["bnm"])
    trainings.scores = lambda config: {"source_accuracy": 0.5}
    assert tune(tmp_path / "out", alone, None, 2).chosen == 0


def test_a_target_without_labels_has_no_regret(config, photos, tmp_path):
    flat = TrainConfig(**{**vars(config), "target": str(photos / "c")})
    tune(tmp_path / "out", flat, SPACE, 2)
    text = (tmp_path / "out" / "tuning.md").read_text()
    assert "chosen by a vote" in text and "the best is" not in text


def test_a_folder_of_any_name_holds_the_study(config, trainings, tmp_path):
    folder = tmp_path / "a {b} c?d #e%41 é"
    assert len(tune(folder, config, SPACE, 2, ["bnm"]).trials) == 2
    assert (folder / "study.db").exists()


def test_a_study_that_is_none_is_said_on_one_line(config, trainings, tmp_path):
    (tmp_path / "study.db").write_text("no database " * 100)
    with pytest.raises(StorageError, match="not a database"):
        tune(tmp_path, config, SPACE, 2, ["bnm"])


def test_without_optuna_the_cure_is_named(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "dacbn.tuning.study", raising=False)
    monkeypatch.delattr("dacbn.tuning.study", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'dacbn\[tune\]'"):
        tune(tmp_path / "out", config, SPACE, 2)


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["dacbn", "tune", *map(str, words)])
    cli.main()


def test_the_command_prints_the_choice(photos, trainings, tmp_path, monkeypatch, capsys):
    domains = "--source", photos / "a", "--target", photos / "b", "--image-size", 32
    words = (*domains, "--output", tmp_path / "out", "--space", SPACE, "--device", "cpu")
    run(monkeypatch, *words, "--trials", 2, "--validator", "bnm", "snd")
    printed = capsys.readouterr().out
    assert "- chosen by a vote of bnm, snd: trial 0, the default settings" in printed
    assert f"next: dacbn predict {tmp_path / 'out' / 'runs' / 'trial-0'} IMAGES" in printed
    trainings.errors = {2: InterruptedTraining("stopped", signal.SIGINT)}
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *words, "--trials", 3, "--validator", "bnm", "snd")
    assert stop.value.code == 130
    assert "Continue with the same command" in capsys.readouterr().out
    run(monkeypatch, *words, "--trials", 3, "--validator", "bnm", "snd")
    assert "3 trials: 3 finished" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(monkeypatch, *words[:-4], "--space", "lr=log(0, 1)")
    error = capsys.readouterr().err
    assert error.startswith("dacbn: ") and error.count("\n") == 1
