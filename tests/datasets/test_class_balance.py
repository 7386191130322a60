"""Class-balanced batches: counts, epochs of each class, and batches that know only their step."""

import time
from collections import Counter

import numpy as np
import pytest
import torch

from dacbn.datasets.class_balance import balanced_rows

LABELS = torch.tensor([3] * 50 + [0] * 7 + [1] * 1 + [3] * 5 + [6] * 20)  # none of 2, 4, 5
KEY = (5, 0)


def draw(batch_size, steps, labels=LABELS, key=KEY):
    rows = balanced_rows(labels, key)
    return [rows(step * batch_size, (step + 1) * batch_size) for step in range(steps)]


def spread(labels, classes=(0, 1, 3, 6)):
    counts = [(labels == each).sum().item() for each in classes]
    return max(counts) - min(counts)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 64])
def test_counts_of_classes_differ_by_one_at_most_in_a_batch_and_in_all(batch_size):
    batches = draw(batch_size, 41)
    for batch in batches:
        assert batch.dtype == torch.int64 and batch.shape == (batch_size,)
        assert spread(LABELS[batch]) <= 1
    assert spread(LABELS[torch.cat(batches)]) <= 1


@pytest.mark.parametrize("batch_size", [3, 10, 64])
def test_the_remainder_of_a_batch_goes_to_every_class_in_turn(batch_size):
    for step in range(8):
        period = torch.cat(draw(batch_size, step + 4)[step:])
        assert spread(LABELS[period]) == 0


@pytest.mark.parametrize("label", [0, 1, 3, 6])
def test_each_image_of_a_class_appears_once_before_any_repeats(label):
    rows = torch.cat(draw(10, 60))
    of_class = rows[LABELS[rows] == label].tolist()
    members = LABELS.eq(label).nonzero()[:, 0].tolist()
    count = len(members)
    epochs = [of_class[i : i + count] for i in range(0, len(of_class), count)]
    assert all(sorted(epoch) == members for epoch in epochs[:-1])
    assert len(set(epochs[-1])) == len(epochs[-1])
    if count > 5 and len(epochs) > 2:
        assert epochs[0] != epochs[1]


def test_a_batch_depends_only_on_its_step_and_key():
    batches = draw(10, 30)
    again = balanced_rows(LABELS, KEY)
    for step in (29, 3, 17, 3):
        assert torch.equal(again(10 * step, 10 * step + 10), batches[step])
    assert not all(map(torch.equal, batches, draw(10, 30, key=(6, 0))))
    assert not all(map(torch.equal, batches, draw(10, 30, key=(5, 1))))


def test_a_domain_of_one_class_is_sampled_epoch_by_epoch():
    rows = torch.cat(draw(4, 5, torch.full((10,), 2)))
    assert sorted(rows[:10].tolist()) == sorted(rows[10:].tolist()) == list(range(10))


def test_images_of_a_class_are_equally_likely_in_every_place():
    labels = torch.tensor([0] * 5 + [1] * 2)
    firsts = Counter(balanced_rows(labels, (seed, 0))(0, 2)[0].item() for seed in range(2000))
    assert sorted(firsts) == list(range(5))
    assert max(firsts.values()) - min(firsts.values()) < 6 * (2000 * 0.16) ** 0.5


def test_a_hundred_thousand_images_take_no_noticeable_time():
    labels = torch.from_numpy(np.random.default_rng(0).geometric(0.05, 100_000).clip(max=200))
    rows = balanced_rows(labels, KEY)
    for step in range(20):  # orders of all classes are drawn
        rows(64 * step, 64 * step + 64)
    began = time.process_time()
    for step in range(20, 220):
        rows(64 * step, 64 * step + 64)
    assert (time.process_time() - began) / 200 < 0.005  # seconds; measured: 0.0002
