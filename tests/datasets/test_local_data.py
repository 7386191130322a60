"""The published files, if they exist: in DACBN_DATA, or else in ../shared/data."""

import os
import warnings
from pathlib import Path

import pytest
import torch

from dacbn.datasets import load_labelled

ROOT = Path(os.environ.get("DACBN_DATA", Path(__file__).parents[3] / "shared" / "data"))
COUNTS = {
    "mnist": (60000, 10000),
    "usps": (7291, 2007),
    "svhn": (4434, 1952),
    "mnist_m": (10000, 9001),
}

pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no data in {ROOT}; set DACBN_DATA")


def load(name, train):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is not the published file")
        domain = load_labelled(name, train=train, root=ROOT)
    return domain, domain.images.gather(torch.arange(len(domain)))


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("train", [True, False])
def test_counts_range_and_labels(name, train):
    domain, pixels = load(name, train)
    assert len(domain) == COUNTS[name][0 if train else 1]
    assert pixels.shape[1:] == (3, 32, 32)
    assert pixels.min() < 10 and pixels.max() > 240
    assert domain.labels.unique().tolist() == list(range(10))


def test_mnist_starts_with_its_well_known_labels():
    assert load("mnist", True)[0].labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert load("mnist", False)[0].labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_usps_digits_are_as_tall_as_those_of_mnist():
    heights = {}
    for name in ("mnist", "usps"):
        rows = load(name, False)[1][:, 0].amax(dim=2) > 64
        heights[name] = float(rows.sum(dim=1).float().mean())
    assert abs(heights["mnist"] - heights["usps"]) < 1.5, heights


@pytest.mark.parametrize(("name", "altered"), [("mnist", False), ("usps", True), ("svhn", True)])
def test_only_altered_files_are_warned_about(name, altered):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_labelled(name, train=True, root=ROOT)
    assert ["md5 differs" in str(warning.message) for warning in caught] == [True] * altered


def test_an_mnist_m_image_shows_the_mnist_digit_of_its_row():
    plain, blended = load("mnist", False)[0], load("mnist_m", False)[0]
    assert torch.equal(blended.labels[:9001], plain.labels[:9001])
