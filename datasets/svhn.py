"""SVHN: 73,257 and 26,032 house-number digits, 32x32. Netzer et al., NIPS workshop 2011."""

from pathlib import Path

from dacbn.datasets.archives import check_shape, find_archive, reading, whole_labels
from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, DIGIT_SIZE, datasets
from dacbn.datasets.images import LabelledImages


@datasets.register("svhn")
def svhn(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return SVHN from `root/svhn`; a subset in the same format is accepted.

    torchvision does not read it, because it accepts the published file only.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged.
    """
    from scipy.io import loadmat
    from torchvision.datasets import SVHN

    url, name, md5 = SVHN.split_list["train" if train else "test"]
    path = find_archive(root / "svhn" / name, [url], md5, download)
    with reading(path):
        content = loadmat(path)
        images = content["X"].transpose(3, 0, 1, 2)
        check_shape(images, (DIGIT_SIZE, DIGIT_SIZE, 3))
        labels = whole_labels(content["y"], 1, 10) % 10  # the file writes 10 for zero
        return labelled(images, labels, DIGIT_CLASSES)
