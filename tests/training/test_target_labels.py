"""Target labels cannot reach training."""

import dataclasses

import numpy as np
import pytest

from dacbn.batch import Batch
from dacbn.datasets import UnlabelledImages


@pytest.fixture
def trained(tiny, source, weights):
    return lambda target, target_test: weights(
        tiny(eval_every=2).fit(source, target, source_test=source, target_test=target_test)
    )


def test_permuting_target_labels_changes_no_bit_of_the_weights(trained, target):
    images, labels = target
    permuted = (images, np.roll(labels, 1))
    assert (permuted[1] != labels).any()
    assert trained(target, target) == trained(permuted, permuted)


def test_scoring_on_the_target_changes_no_bit_of_the_weights(trained, target):
    assert trained(target, target) == trained(target[0], None)


def test_target_images_do_change_the_weights(trained, target):
    assert trained(target, None) != trained((255 - target[0], target[1]), None)


def test_what_training_receives_has_no_field_for_target_labels():
    assert [name for name in Batch._fields if "label" in name] == ["source_labels"]
    assert [field.name for field in dataclasses.fields(UnlabelledImages)] == ["images"]
