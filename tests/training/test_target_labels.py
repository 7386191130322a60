"""Target labels cannot reach training."""

import dataclasses

import numpy as np
import pytest
import torch

from dacbn.batch import Batch
from dacbn.datasets import UnlabelledImages
from dacbn.training import TrainingDomains


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


@pytest.mark.parametrize("method", ["source_and_target", "mme"])
def test_labels_of_unlabelled_images_stay_unknown_where_a_few_are_given(
    method, tiny, source, target, weights
):
    images, labels = target

    def trained(of_target, few):
        return weights(tiny(method=method).fit(source, of_target, target_labelled=few))

    few = (images[:4], labels[:4])
    wanted = trained(images, few)
    assert trained(target, few) == trained((images, np.roll(labels, 1)), few) == wanted
    assert trained(images, (images[:4], 1 - labels[:4])) != wanted


def test_labelled_target_images_are_no_part_of_the_unlabelled_ones(source, target, tiny):
    few = (target[0][:4], target[1][:4])
    config = tiny(method="mme", labelled_batch_size=3).config
    places = {"source": ("in memory",), "target": ("in memory",), "target_labelled": ("in memory",)}
    config = dataclasses.replace(config, **places)
    domains = TrainingDomains.read(config, 32, [source], [target[0]], labelled_targets=[few])
    for batch in domains.stream(config, torch.device("cpu"), strong=False)(0):
        images, labels = batch.labelled
        assert len(images) == len(labels) == 3 and len(batch.target_images) == 5
        storage = images.untyped_storage().data_ptr()
        assert batch.target_images.untyped_storage().data_ptr() != storage


def test_what_training_receives_has_no_field_for_target_labels():
    labels = ["source_labels", "labelled_images", "labelled_labels", "labelled_counts"]
    assert [name for name in Batch._fields if "label" in name] == labels
    assert [field.name for field in dataclasses.fields(UnlabelledImages)] == ["images"]
