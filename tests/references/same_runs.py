"""Two folders of runs that are equal to the bit, and small digits to train them on."""

import json

import numpy as np
from sklearn.datasets import load_digits

OF_TIME = "steps_per_second"


def tiny_digits(folder):
    """Write two domains of digits as arrays of 16 pixels; return them as settings name them."""
    digits, labels = load_digits(n_class=3, return_X_y=True)
    images = np.kron(digits[:60].reshape(-1, 8, 8), np.ones((2, 2))) * 15
    pictures = {"plain": images, "inverted": 240 - images}
    for name, values in pictures.items():
        np.savez(folder / f"{name}.npz", images=values.astype(np.uint8), labels=labels[:60])
    return tuple((str(folder / f"{name}.npz"),) for name in pictures)


def same_runs(expected, actual):
    """Assert that both folders hold the same runs: settings, weights and metrics, but for times."""
    names = sorted(path.name for path in expected.iterdir())
    assert names and names == sorted(path.name for path in actual.iterdir())
    for name in names:
        for file in ("model.safetensors", "config.json", "cell.json"):
            assert (expected / name / file).read_bytes() == (actual / name / file).read_bytes()
        assert _metrics(expected / name) == _metrics(actual / name)


def _metrics(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != OF_TIME} for row in rows]
