"""Single images: the source answers until the network that adapts has shown its worth."""

import numpy as np
import pytest
import torch

from dacbn.streams import guard as module
from dacbn.streams.guard import Guard


def watched(adapted, source, count=200):
    """Show a guard of 4 classes the labels of both networks, in turns."""
    guard, found = Guard(4), []
    for number in range(count):
        both = (torch.tensor([each[number % len(each)]]) for each in (adapted, source))
        guard.watch(*(8 * torch.nn.functional.one_hot(label, 4).float() for label in both))
        found.append(guard.is_better())
    return found


def test_more_classes_are_a_proof_once_enough_is_known():
    found = watched([0, 1, 2, 3], [0, 0, 1, 1])
    assert not any(found[: module.NEEDED - 1]) and all(found[module.NEEDED - 1 :])


@pytest.mark.parametrize("adapted", [[0, 1], [1, 0], [2, 3], [0]])
def test_as_many_or_fewer_classes_are_none(adapted):
    assert not any(watched(adapted, [0, 1]))


def test_mistakes_within_a_run_of_one_label_are_no_proof():
    guard = Guard(4)
    for label in (0, 1, 2, 3):  # known before: both find the classes
        for _ in range(100):
            guard.watch(*(torch.nn.functional.one_hot(torch.tensor([label]), 4) * 8.0,) * 2)
    for number in range(40):  # a run of the first, of which one makes every class
        ours = torch.nn.functional.one_hot(torch.tensor([number % 4]), 4) * 8.0
        guard.watch(ours, torch.tensor([[8.0, 0, 0, 0]]))
    shares = guard.adapted, guard.source
    assert module.diversity(shares[0]) > module.MORE * module.diversity(shares[1])
    assert not guard.is_better()


def answers(stream):
    return np.concatenate([[each.probabilities for each in batch.answers] for batch in stream])


def test_the_source_answers_single_images_and_the_network_learns(squares_adapter, target):
    images = target[0]
    source = answers(squares_adapter.stream(images, batch_size=1))
    stream = squares_adapter.stream(images, "tent(lr=0.1)", batch_size=1)
    assert np.array_equal(answers(stream), source)
    free = squares_adapter.stream(images, "tent(lr=0.1)", batch_size=1, guard=False)
    assert not np.array_equal(answers(free), source)
    learned, wanted = (each.method.network.state_dict() for each in (stream, free))
    assert all(torch.equal(value, wanted[name]) for name, value in learned.items())


@pytest.mark.parametrize(("proven_after", "batch_size", "norm"), [
    (0, 1, None),
    (9, 1, None),
    (99, 2, None),
    (99, 1, "robust_batch_norm"),
])  # fmt: skip
def test_a_network_with_a_proof_answers_itself_as_one_whose_statistics_follow(
    squares_adapter, target, monkeypatch, proven_after, batch_size, norm
):
    options = {"adapt": "tent(lr=0.1)", "batch_size": batch_size, "norm": norm}
    free = answers(squares_adapter.stream(target[0], guard=False, **options))
    stream = squares_adapter.stream(target[0], **options)
    monkeypatch.setattr(Guard, "is_better", lambda guard: guard.seen > proven_after)
    found = answers(stream)
    if batch_size == 1 and norm is None:
        source = answers(squares_adapter.stream(target[0], batch_size=1))
        free[:proven_after] = source[:proven_after]
    assert np.array_equal(found, free)
