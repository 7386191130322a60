"""USPS: 7,291 and 2,007 handwritten digits, 16x16. Hull, IEEE TPAMI 1994."""

import bz2
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dacbn.datasets.archives import find_archive, reading, whole_labels
from dacbn.datasets.arrays import labelled, resize
from dacbn.datasets.catalogue import DIGIT_CLASSES, datasets
from dacbn.datasets.images import LabelledImages

DIGIT_PIXELS = 20  # a USPS digit fills its frame; an MNIST digit has 20 of 28 pixels
MARGIN = 6
SIDE = 16
POSITIONS = [str(number) for number in range(1, SIDE * SIDE + 1)]


@datasets.register("usps")
def usps(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return USPS from `root/usps`, resized to 20x20 and zero-padded to 32x32.

    Digits then have the same height as in `mnist`, so that the domains do not differ in scale.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged.
    """
    from torchvision.datasets import USPS

    url, name, md5 = USPS.split_list["train" if train else "test"]
    path = find_archive(root / "usps" / name, [url], md5, download)
    with reading(path):
        values, labels = _read(path)
        if not (np.abs(values) <= 1).all():  # also catches NaN
            raise ValueError("its pixels do not lie in -1..1")
        greys = torch.from_numpy(((values + 1) / 2 * 255).astype(np.uint8))
        images = resize(greys.unsqueeze(1), DIGIT_PIXELS)
        return labelled(F.pad(images, (MARGIN,) * 4), labels - 1, DIGIT_CLASSES)


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read images (N, 16, 16) and labels from 1.

    torchvision reads values of any size, and casts those out of range to other greys.
    """
    rows = [line.split() for line in bz2.decompress(path.read_bytes()).decode().splitlines()]
    for row in rows:
        if [pair.split(":")[0] for pair in row[1:]] != POSITIONS:
            raise ValueError(f"a line does not have the pixels 1 to {len(POSITIONS)} in order")
    values = np.array([[pair.split(":")[1] for pair in row[1:]] for row in rows], np.float32)
    labels = np.array([row[0] for row in rows], np.float64)
    return values.reshape(-1, SIDE, SIDE), whole_labels(labels, 1, 10)
