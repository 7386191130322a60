"""Ten photographs, and an empty cache for them."""

import pytest
from cached_photos import BYTES, noise

from dacbn.datasets import folders, pixel_store


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Return ten files that are too large for memory; the cache writes four of them at once."""
    monkeypatch.setattr(folders, "CACHED_ABOVE", 0)
    monkeypatch.setattr(folders, "MEMORY_BUDGET", 0)
    monkeypatch.setattr(pixel_store, "BLOCK", 4 * BYTES)
    return [noise(tmp_path / "photos" / f"{seed:02d}.jpg", seed) for seed in range(10)]


@pytest.fixture
def cache(tmp_path):
    """Return the folder of a cache, as the setting names it."""
    return str(tmp_path / "cache")


@pytest.fixture
def decoded(monkeypatch):
    """Return the list of the files that are decoded into the cache."""
    names, original = [], pixel_store.decode_into

    def decode(block, part, *settings):
        names.extend(file.name for file in part)
        return original(block, part, *settings)

    monkeypatch.setattr(pixel_store, "decode_into", decode)
    return names
