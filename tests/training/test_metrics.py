"""The table of metrics has every name that a training records."""

import pytest
import torch
from flat_network import flat_batch, flat_network

from dacbn.batch import TargetBatch
from dacbn.methods import SourceOnly, Step, methods, source_free_methods
from dacbn.training import score_answers
from dacbn.training.metrics import (
    LEARNING_RATE,
    METRICS,
    NUM_IMAGES,
    STEPS_PER_SECOND,
    TEST_ACCURACY,
    TEST_CLASS_ACCURACY,
    UNKNOWN_THRESHOLD,
    Panel,
    find_metric,
    is_validator,
)


class Careless(SourceOnly):
    """Add a loss whose name is not in the table."""

    def forward(self, batch, progress):  # noqa: D102
        step = super().forward(batch, progress)
        return Step(step.losses | {"made_up": torch.zeros(())}, step.metrics)


class WholeTarget:
    """Seven target images in one batch."""

    images = torch.rand(7, 3, 2, 2)
    cluster_id = 1

    def __len__(self):
        return 7

    def batches(self):
        """Yield all images."""
        yield self.images


@pytest.fixture
def recorded(tiny, source, target):
    """Build a function that trains with a method and returns all recorded names."""

    def run(method):
        options = {"eval_every": 3, "validators": ("bnm",)}
        if method in source_free_methods:
            adapter = tiny(method="source_only").fit(source, target[0])
            adapter.adapt(target[0], method, target_test=target, target_batch_size=5, **options)
        else:
            adapter = tiny(method=method, **options)
            few = target if methods[method].takes_labelled_target else None
            tests = {"source_test": source, "target_test": target}
            adapter.fit(source, target[0], target_labelled=few, **tests)
        return {name for row in adapter.records for name in row} - {"step"}

    return run


def take_step(name):
    """Return the losses and metrics of one step of a method."""
    if name in source_free_methods:
        method, target = source_free_methods[name], WholeTarget()
        batch = TargetBatch(target.images, torch.arange(7))
        return method(flat_network(), target)(batch, 0.5)
    network = flat_network(temperature=methods[name].classifier_temperature)
    return methods[name](network)(flat_batch(), 0.5)


def unknown(names):
    return {name for name in names if find_metric(name) is None}


@pytest.mark.parametrize("method", [*methods, *source_free_methods])
def test_every_name_that_a_training_records_is_in_the_table(recorded, method):
    names = recorded(method)
    assert unknown(names) == set()
    step = take_step(method)
    assert names >= {*step.losses, *step.metrics, LEARNING_RATE, STEPS_PER_SECOND, "validator_bnm"}
    labelled = {name for name in names if find_metric(name).needs_target_labels}
    of_target = (TEST_ACCURACY, TEST_CLASS_ACCURACY, NUM_IMAGES)
    assert labelled == {each["target"] for each in of_target}


def test_a_method_that_records_an_unknown_name_is_found(recorded, monkeypatch):
    monkeypatch.setitem(methods._entries, "careless", Careless)
    assert unknown(recorded("careless")) == {"made_up"}


@pytest.mark.parametrize("name", [*methods, *source_free_methods])
def test_losses_belong_to_the_panel_of_losses_and_metrics_to_others(name):
    step = take_step(name)
    assert {find_metric(loss).panel for loss in step.losses} == {Panel.LOSSES}
    assert Panel.LOSSES not in {find_metric(metric).panel for metric in step.metrics}


def test_the_table_has_no_name_that_nothing_records():
    steps = map(take_step, [*methods, *source_free_methods])
    names = {name for step in steps for part in step for name in part}
    names |= {LEARNING_RATE, STEPS_PER_SECOND}
    names |= {*TEST_ACCURACY.values(), *TEST_CLASS_ACCURACY.values(), *NUM_IMAGES.values()}
    names.add(UNKNOWN_THRESHOLD)
    some = score_answers(torch.tensor([0, 2]), torch.tensor([0, 2]), 2)  # of all kinds
    names |= {f"target_test_{measure}" for measure in some} | {"source_test_classes_present"}
    assert names == METRICS.keys()
    assert not any(map(is_validator, METRICS))


def test_the_validator_of_source_accuracy_belongs_to_the_validators():
    assert find_metric("validator_source_accuracy").panel == Panel.VALIDATORS
    assert find_metric("source_accuracy").panel == Panel.TRAINING_ACCURACY
