"""USPS: 7,291 and 2,007 handwritten digits, 16x16. Hull, IEEE TPAMI 1994."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torchvision.datasets import USPS

from dacbn.datasets.archives import find_archive, reading
from dacbn.datasets.arrays import labelled, resize
from dacbn.datasets.catalogue import DIGIT_CLASSES, datasets
from dacbn.datasets.images import LabelledImages

DIGIT_PIXELS = 20  # a USPS digit fills its frame; an MNIST digit has 20 of 28 pixels
MARGIN = 6


@datasets.register("usps")
def usps(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return USPS from `root/usps`, resized to 20x20 and zero-padded to 32x32.

    Digits then have the same height as in `mnist`, so that the domains do not differ in scale.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged.
    """
    url, name, md5 = USPS.split_list["train" if train else "test"]
    path = find_archive(root / "usps" / name, [url], md5, download)
    with reading(path):
        published = USPS(root / "usps", train)
    images = resize(torch.from_numpy(published.data).unsqueeze(1), DIGIT_PIXELS)
    return labelled(F.pad(images, (MARGIN,) * 4), published.targets, DIGIT_CLASSES)
