"""A training from the cache is that from the files."""

import json
import sys

import pytest
from cached_photos import noise

from dacbn import cli
from dacbn.datasets import folders, pixel_cache
from dacbn.training import read_records

SETTINGS = ["--steps", "4", "--source-batch-size", "4", "--target-batch-size", "4", "--log-every"]
SETTINGS += ["1", "--eval-every", "2", "--device", "cpu", "--image-size", "32"]


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Return a function that trains and returns what was recorded."""
    monkeypatch.setattr(folders, "CACHED_ABOVE", 0)
    monkeypatch.setattr(pixel_cache, "ANNOUNCED", 0)
    for seed in range(20):
        for domain in ("source", "target"):
            path = tmp_path / domain / "ab"[seed % 2] / f"{seed}.jpg"
            noise(path, seed, (40, 50 + len(domain), 3))

    def run(name, *options):
        where = ["--source", tmp_path / "source", "--target", tmp_path / "target"]
        words = ["train", *where, *SETTINGS, "--run", tmp_path / name, *options]
        monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, words)])
        cli.main()
        return [
            {key: value for key, value in each.items() if "second" not in key and "time" not in key}
            for each in read_records(tmp_path / name)
        ]

    return run


def test_runs_with_and_without_a_cache_are_equal(train, tmp_path, capsys):
    cache = tmp_path / "cache"
    plain = train("plain", "--cache", "none")
    assert "of pixels" not in capsys.readouterr().out
    assert train("first", "--cache", cache) == plain
    printed = capsys.readouterr().out
    assert printed.count("GB of pixels to") == 4 and "--cache none writes none" in printed
    assert train("second", "--cache", cache) == plain
    assert "of pixels" not in capsys.readouterr().out
    config = json.loads((tmp_path / "first" / "config.json").read_text())
    assert str(cache) in json.dumps(config)
