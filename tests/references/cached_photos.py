"""Photographs of noise, and what the cache must give of them."""

import os
import signal

import numpy as np
import torch
from PIL import Image

from dacbn.datasets import folders, pixel_store
from dacbn.datasets.cached_images import CachedImages
from dacbn.datasets.folders import read_each

SIZE = 8
BYTES = 3 * SIZE**2  # of an image


def noise(path, seed, shape=(20, 14, 3)):
    """Write noise to a file, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pixels_of(images):
    """Return the pixels of all images."""
    return images.gather(torch.arange(len(images)))


def assert_read(files, cache):
    """Check that the cache gives what the files give; return the images from the cache."""
    images, reasons = read_each(files, SIZE, cache=cache)
    plain, plain_reasons = read_each(files, SIZE)
    assert isinstance(images, CachedImages) and images.paths == plain.paths
    assert reasons == plain_reasons and torch.equal(pixels_of(images), pixels_of(plain))
    return images


def fill(files, cache, moment=0):
    """Read files as a process of its own, which is killed at a moment of its writing, from 1."""
    folders.CACHED_ABOVE, folders.MEMORY_BUDGET, pixel_store.BLOCK = 0, 0, 4 * BYTES
    write, reached = pixel_store._write_at, 0

    def pass_moment():
        nonlocal reached
        reached += 1
        if reached == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def write_in_two(path, position, content):
        pass_moment()
        write(path, position, bytes(content)[: len(bytes(content)) // 2])
        pass_moment()
        write(path, position, content)

    pixel_store._write_at = write_in_two
    assert_read(files, cache)
