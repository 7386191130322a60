"""A trained adapter of a problem small enough for a second: dark and bright squares."""

import numpy as np
import pytest

from dacbn.adapter import DomainAdapter


def make_squares(count, seed, negative=False):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.integers(0, 100, (count, 32, 32)) + 120 * labels[:, None, None]
    return (255 - images if negative else images).astype(np.uint8), labels


@pytest.fixture(scope="session")
def target():
    return make_squares(17, 1, negative=True)


@pytest.fixture(scope="session")
def squares_adapter(target):
    """Train for six steps."""
    options = {"steps": 6, "source_batch_size": 6, "target_batch_size": 5, "device": "cpu"}
    adapter = DomainAdapter(norm="batch_norm", **options)
    return adapter.fit(make_squares(20, 0), target[0])


@pytest.fixture
def weights():
    """Read an adapter's weights as bytes, for comparisons that forgive nothing."""

    def read(adapter):
        state = adapter.network.state_dict()
        return {name: tensor.numpy().tobytes() for name, tensor in state.items()}

    return read
