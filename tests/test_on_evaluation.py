"""A callback per evaluation: it sees no labels of the target, and may end the training."""

import logging

import numpy as np
import pytest

from dacbn import DomainAdapter
from dacbn.training import read_records

OPTIONS = {"source_batch_size": 6, "target_batch_size": 6, "device": "cpu", "eval_every": 2}
OPTIONS |= {"norm": None, "method": "source_only", "steps": 6, "log_every": 2}
RANDOM = np.random.default_rng(0)
IMAGES, LABELS = RANDOM.integers(0, 256, (20, 32, 32, 3), np.uint8), np.arange(20) % 2
SOURCE, TARGET = (IMAGES, LABELS), (IMAGES[:12, ::-1], LABELS[:12])
TESTS = {"source_test": SOURCE, "target_test": TARGET}


@pytest.fixture
def seen():
    return []


def test_it_receives_each_step_and_the_scores_that_need_no_target_labels(seen):
    adapter = DomainAdapter(**OPTIONS)
    adapter.fit(SOURCE, TARGET[0], **TESTS, on_evaluation=lambda *each: seen.append(each))
    assert [step for step, _ in seen] == [2, 4, 6]
    rows = {row["step"]: row for row in adapter.records}
    for step, scores in seen:
        assert {"source_test_accuracy", "validator_entropy"} < scores.keys()
        assert not any("target" in name for name in scores)
        assert scores.items() <= rows[step].items() and "target_test_accuracy" in rows[step]


def test_scores_of_several_domains_are_told_apart_too(seen):
    adapter = DomainAdapter(**OPTIONS)
    tests = {"source_test": [SOURCE, SOURCE], "target_test": [TARGET, TARGET]}
    targets = [TARGET[0], TARGET[0]]
    adapter.fit([SOURCE, SOURCE], targets, **tests, on_evaluation=lambda _, x: seen.extend(x))
    assert any(name.startswith("source_test_accuracy") for name in seen)
    assert not any(name.startswith("target") for name in seen)


def test_the_training_ends_where_it_returns_true_and_can_go_on(tmp_path, caplog):
    caplog.set_level(logging.INFO, "dacbn")
    run = {"run": tmp_path / "run", **TESTS}
    adapter = DomainAdapter(**OPTIONS)
    adapter.fit(SOURCE, TARGET[0], **run, on_evaluation=lambda step, _: step == 4)
    assert adapter.records[-1]["step"] == read_records(tmp_path / "run")[-1]["step"] == 4
    assert "ended after step 4 of 6, as asked" in caplog.text
    loaded = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu")
    assert np.array_equal(loaded.predict_proba(IMAGES), adapter.predict_proba(IMAGES))
    loaded.fit(SOURCE, TARGET[0], **run, resume=True)
    whole = DomainAdapter(**OPTIONS).fit(SOURCE, TARGET[0], **TESTS)
    assert np.array_equal(loaded.predict_proba(IMAGES), whole.predict_proba(IMAGES))


def test_only_true_ends_the_training():
    for answer in (None, False, 1.0, "no"):
        adapter = DomainAdapter(**OPTIONS)
        adapter.fit(SOURCE, TARGET[0], source_test=SOURCE, on_evaluation=lambda *_, a=answer: a)
        assert adapter.records[-1]["step"] == 6
    adapter.fit(SOURCE, TARGET[0], source_test=SOURCE, on_evaluation=lambda *_: np.True_)
    assert adapter.records[-1]["step"] == 2


def test_an_adaptation_calls_it_too(seen):
    adapter = DomainAdapter(**OPTIONS).fit(SOURCE, TARGET[0])
    options = {"target_test": TARGET, "on_evaluation": lambda *each: seen.append(each) or True}
    adapter.adapt(TARGET[0], "shot", **options)
    assert [step for step, _ in seen] == [2] and adapter.records[-1]["step"] == 2
    assert not any("target_test" in name for name in seen[0][1])


def test_without_evaluations_it_is_refused():
    with pytest.raises(ValueError, match="no evaluations to call on_evaluation after: give source"):
        DomainAdapter(**OPTIONS).fit(SOURCE, TARGET[0], on_evaluation=print)
