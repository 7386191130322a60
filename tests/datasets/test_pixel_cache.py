"""Pixels are decoded once into a cache, and are those of the files."""

import logging
import os
import shutil
import warnings
from collections import namedtuple

import numpy as np
import pytest
import torch
from cached_photos import BYTES, SIZE, assert_read, noise, pixels_of
from PIL import Image

from dacbn.datasets import FileImages, TensorImages, folders, load_labelled, pixel_cache
from dacbn.datasets.cached_images import CachedImages
from dacbn.datasets.folders import read_each


def test_pixels_are_those_of_the_files_and_decoded_once(files, cache, decoded):
    for _ in range(2):
        assert_read(files, cache)
    assert decoded == [file.name for file in files]


def test_any_rows_in_any_order(files, cache):
    rows = torch.tensor([7, 0, 7, 3])
    images = read_each(files, SIZE, cache=cache)[0]
    assert torch.equal(images.gather(rows), FileImages(tuple(files), SIZE).gather(rows))
    assert images.gather(rows[:0]).shape == (0, 3, SIZE, SIZE)


def test_sizes_and_fits_are_apart(files, cache):
    for size, fit in [(SIZE, "crop"), (SIZE, "pad"), (5, "crop")]:
        images = read_each(files, size, fit=fit, cache=cache)[0]
        assert torch.equal(pixels_of(images), pixels_of(FileImages(tuple(files), size, fit)))


def test_parts_of_a_folder_share_what_is_decoded(files, cache, decoded):
    assert_read(files[:6], cache)
    assert_read(files[4:], cache)
    assert decoded == [file.name for file in files]


def test_only_changed_and_new_files_are_decoded_and_deleted_ones_are_gone(files, cache, decoded):
    assert_read(files, cache)
    decoded.clear()
    noise(files[3], 100)
    files[5].unlink()
    new = noise(files[0].with_name("new.jpg"), 101)
    assert_read([*files[:5], *files[6:], new], cache)
    assert decoded == [files[3].name, "new.jpg"]
    with pytest.warns(UserWarning, match=r"1 image is unreadable: .*05\.jpg \(No such file"):
        images, reasons = read_each(files, SIZE, cache=cache)
    assert len(images) == 9 and reasons[5] == "No such file or directory"


def test_unreadable_files_and_notes_are_said_each_time(files, cache):
    files[2].write_bytes(b"broken")
    pages = [Image.new("L", (4, 4), value) for value in (10, 200)]
    pages[0].save(files[0].with_name("a.tif"), save_all=True, append_images=pages[1:])
    dark = Image.fromarray(np.full((4, 4), 100, np.uint16))
    dark.save(files[0].with_name("dark.png"))
    every = [*files, files[0].with_name("a.tif"), files[0].with_name("dark.png")]

    def messages(cache):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, reasons = read_each(every, SIZE, cache=cache)
        return [str(each.message) for each in caught], reasons

    plain = messages("none")
    assert len(plain[0]) == 3
    for _ in range(2):
        assert messages(cache) == plain
        with pytest.raises(ValueError, match=r"02\.jpg .*replace or delete"):
            read_each(every, SIZE, "raise", cache=cache)


def test_nothing_readable_is_refused_as_without_a_cache(files, cache):
    for file in files:
        file.write_bytes(b"broken")
    for _ in range(2):
        with (
            pytest.warns(UserWarning, match="10 images are unreadable"),
            pytest.raises(ValueError, match="holds no readable images"),
        ):
            folders.read_files([files[0].parent], SIZE, cache=cache)


def test_a_process_that_fills_the_same_store_is_waited_for(files, cache, caplog):
    assert_read(files, cache)
    (index,) = folders.Path(cache).glob("*.jsonl")
    lock = pixel_cache.FileLock(index.with_suffix(".lock"))
    original, caught = lock.acquire, []
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        lock.acquire()

        def acquire(self, timeout=None, **options):
            if timeout is None:  # now it is waited for
                caught.append(1)
                lock.release()
            return original.__func__(self, timeout, **options)

        patch.setattr(type(lock), "acquire", acquire)
        assert_read(files, cache)
    assert caught == [1] and "waiting for another process" in caplog.text


def test_a_folder_that_cannot_be_written_is_done_without(files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match=r"decoded in each run, .*: Not a directory; .*='none'"):
        images = read_each(files, SIZE, cache=str(tmp_path / "file" / "cache"))[0]
    assert type(images) is FileImages and len(images) == 10


Usage = namedtuple("Usage", "total used free")


def test_a_disk_with_too_little_room_is_not_written_to(files, cache, tmp_path, monkeypatch):
    free = pixel_cache.MARGIN + 10 * BYTES - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
    with pytest.warns(UserWarning, match=r"GB of pixels do not fit: .* are free"):
        images = read_each(files, SIZE, cache=cache)[0]
    assert type(images) is FileImages and not list((tmp_path / "cache").glob("*.u8"))
    free += 1
    assert_read(files, cache)


def test_what_was_used_least_recently_is_deleted(files, cache, tmp_path, monkeypatch):
    others = [noise(tmp_path / "others" / f"{seed}.jpg", seed) for seed in range(3)]
    third = [noise(tmp_path / "third" / f"{seed}.jpg", seed) for seed in range(3)]
    monkeypatch.setattr(pixel_cache, "MOST", 14 * BYTES)
    first = assert_read(files, cache)
    os.utime(next((tmp_path / "cache").glob("*.jsonl")), (1, 1))
    second = assert_read(others, cache)
    assert first.pixels.exists() and second.pixels.exists()
    third = assert_read(third, cache)
    assert [each.pixels.exists() for each in (first, second, third)] == [False, True, True]
    assert torch.equal(pixels_of(first), pixels_of(FileImages(tuple(files), SIZE)))


def test_the_size_is_said_before_it_is_written(files, cache, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        assert_read(files[:5], cache)
        assert not caplog.records
        monkeypatch.setattr(pixel_cache, "ANNOUNCED", 0)
        assert_read(files, cache)
    assert f"writing 0.0 GB of pixels to {cache}, so that 5 images are decoded once" in caplog.text


def test_auto_is_a_folder_in_the_cache_of_the_user(files, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = assert_read(files, "auto")
    assert images.pixels.parent == tmp_path / "dacbn" / "pixels"
    assert (tmp_path / "dacbn").stat().st_mode & 0o077 == 0


def test_what_is_small_stays_in_memory(files, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "CACHED_ABOVE", 10 * BYTES)
    monkeypatch.setattr(folders, "MEMORY_BUDGET", 10 * BYTES)
    assert isinstance(read_each(files, SIZE, cache=cache)[0], TensorImages)
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("files")
def test_domains_are_read_from_the_cache_with_their_labels(tmp_path, cache, decoded):
    for name in ("a", "b"):
        for seed in range(10):
            noise(tmp_path / "data" / name / f"{seed}.jpg", seed)
    (tmp_path / "data" / "a" / "3.jpg").write_bytes(b"broken")
    for train in (True, False):
        found = []
        for place in ("none", cache, cache):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the broken one is in one of the parts
                found.append(
                    load_labelled(
                        tmp_path / "data", train=train, root=tmp_path, size=SIZE, cache=place
                    )
                )
        for domain in found[1:]:
            assert isinstance(domain.images, CachedImages)
            assert torch.equal(domain.labels, found[0].labels)
            assert torch.equal(pixels_of(domain.images), pixels_of(found[0].images))
    assert len(decoded) == 21  # the broken file is tried again
