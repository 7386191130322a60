"""What is on the disk survives kills, changes and damage, and never gives other pixels."""

import os
import pickle
import shutil

import pytest
import torch
from cached_photos import BYTES, SIZE, assert_read, fill, noise, pixels_of
from killed import PROCESSES

from dacbn.datasets import FileImages, pixel_store
from dacbn.datasets.folders import read_each


def test_images_that_were_read_before_a_change_stay_as_they_were(files, cache):
    images = read_each(files, SIZE, cache=cache)[0]
    before = pixels_of(images)
    for seed, file in enumerate(files, start=100):
        noise(file, seed)
    for _ in range(3):  # most rows are of changed files: the store begins anew
        read_each([noise(file, seed) for seed, file in enumerate(files, 200)], SIZE, cache=cache)
    assert torch.equal(pixels_of(images), before)
    assert_read(files, cache)


def test_a_store_of_files_that_change_often_does_not_grow(files, cache, tmp_path):
    for seed in range(0, 100, 10):
        for file in files:
            noise(file, seed + int(file.stem), (20, 14 + seed // 10, 3))
        assert_read(files, cache)
        rows = [file.stat().st_size // (BYTES) for file in (tmp_path / "cache").glob("*.u8")]
        assert len(rows) == 1 and rows[0] <= 30


def processes(*arguments):
    """Start a process for each tuple of arguments of `fill`; return their exit codes."""
    started = [PROCESSES.Process(target=fill, args=each) for each in arguments]
    for each in started:
        each.start()
    for each in started:
        each.join()
    return [each.exitcode for each in started]


@pytest.mark.slow
def test_what_was_written_before_a_kill_is_used(files, tmp_path, decoded):
    lost, moments = [], range(1, 13)  # two moments of two writes of three blocks
    for moment in moments:
        cache = str(tmp_path / f"cache{moment}")
        assert processes((files, cache, moment)) == [-9]
        decoded.clear()
        assert_read(files, cache)
        lost.append(len(decoded))
        assert_read(files, cache)
        assert len(decoded) == lost[-1]
    # each block counts from the moment when its lines are written
    assert lost == [10, 10, 10, 9, 6, 6, 6, 4, 2, 2, 2, 1]


def test_a_store_grows_by_one_process_after_another(files, cache, decoded):
    for moment in (5, 5, 0):
        assert processes((files, cache, moment)) == [-9 if moment else 0]
    assert_read(files, cache)
    assert decoded == []


def test_two_processes_at_once_read_equal_pixels(files, cache, tmp_path):
    assert processes((files, cache), (files, cache)) == [0, 0]
    assert_read(files, cache)
    assert [file.stat().st_size for file in (tmp_path / "cache").glob("*.u8")] == [10 * BYTES]


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_a_short_file_of_pixels_is_not_read(files, cache, decoded, tmp_path, kept):
    images = assert_read(files, cache)
    (pixels,) = (tmp_path / "cache").glob("*.u8")
    os.truncate(pixels, kept)
    assert torch.equal(pixels_of(images), pixels_of(FileImages(tuple(files), SIZE)))
    decoded.clear()
    assert_read(files, cache)
    assert len(decoded) == 10 and not pixels.exists()


@pytest.mark.parametrize("text", [b"", b"x", b"[1]\n", b'"none.u8"\n', b'{"a": 1}\n[2, 3]\n'])
def test_an_index_that_is_no_index_is_written_anew(files, cache, decoded, tmp_path, text):
    assert_read(files, cache)
    (index,) = (tmp_path / "cache").glob("*.jsonl")
    index.write_bytes(text)
    decoded.clear()
    assert_read(files, cache)
    assert len(decoded) == 10


def test_a_cache_may_be_deleted_at_any_time(files, cache, tmp_path):
    images = assert_read(files, cache)
    copy = pickle.loads(pickle.dumps(images))
    again = pickle.loads(pickle.dumps(images))
    plain = pixels_of(images)
    assert torch.equal(pixels_of(copy), plain)
    shutil.rmtree(tmp_path / "cache")
    for each in (images, copy, again):  # the last never opened the file
        assert torch.equal(pixels_of(each), plain)
    assert_read(files, cache)


def test_a_full_disk_is_done_without_and_left_as_it_was(files, cache, tmp_path, monkeypatch):
    original = pixel_store._write_at

    def write(path, position, content):
        if position:
            raise OSError(28, "No space left on device")
        original(path, position, content)

    monkeypatch.setattr(pixel_store, "_write_at", write)
    with pytest.warns(UserWarning, match="No space left on device"):
        images = read_each(files, SIZE, cache=cache)[0]
    assert type(images) is FileImages
    assert {file.suffix for file in (tmp_path / "cache").iterdir()} <= {".lock"}
