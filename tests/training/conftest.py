"""A problem small enough to train on in a second: dark and bright squares, and their negatives."""

import numpy as np
import pytest

from dacbn.adapter import DomainAdapter

TINY = {
    "steps": 6,
    "source_batch_size": 6,
    "target_batch_size": 5,
    "log_every": 1,
    "checkpoint_every": 2,
    "eval_every": 0,
    "device": "cpu",
}


def make_squares(count, seed, negative=False):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.integers(0, 100, (count, 32, 32)) + 120 * labels[:, None, None]
    return (255 - images if negative else images).astype(np.uint8), labels


@pytest.fixture
def source():
    return make_squares(20, 0)


@pytest.fixture
def target():
    return make_squares(17, 1, negative=True)


@pytest.fixture
def sources():
    """Draw three sources."""
    return [make_squares(count, seed) for count, seed in ((20, 0), (13, 2), (9, 3))]


@pytest.fixture
def tiny():
    """Build an adapter that trains for six steps; options replace the defaults."""
    return lambda **options: DomainAdapter(**{**TINY, **options})


@pytest.fixture
def weights():
    """Read an adapter's weights as bytes, for comparisons that forgive nothing."""

    def read(adapter):
        state = adapter.network.state_dict()
        return {name: tensor.numpy().tobytes() for name, tensor in state.items()}

    return read


@pytest.fixture
def untimed():
    """Drop from records what no two trainings share."""
    return lambda rows: [{k: v for k, v in row.items() if k != "steps_per_second"} for row in rows]
