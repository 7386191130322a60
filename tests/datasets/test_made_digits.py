"""The domains that are generated in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from dacbn.datasets import color_digits as color_module
from dacbn.datasets import digits as digits_module
from dacbn.datasets import load_labelled
from dacbn.datasets import street_digits as street_module
from dacbn.datasets.digits import SPARE, TEST, TRAIN, shuffled_rows
from dacbn.datasets.textures import blend, make_textures

NOWHERE = Path("/nonexistent")


def load(name, train):
    domain = load_labelled(name, train=train, root=NOWHERE)
    return domain, domain.images.gather(torch.arange(len(domain)))


def test_the_three_parts_of_the_digits_share_no_row_and_leave_none_out():
    parts = [shuffled_rows()[part] for part in (TRAIN, SPARE, TEST)]
    assert [len(part) for part in parts] == [900, 600, 297]
    assert sorted(row for part in parts for row in part) == list(range(1797))


@pytest.mark.parametrize("known", [True, False])
def test_digits_are_read_as_scikit_learn_reads_them_from_its_file_or_by_it(known, monkeypatch):
    if not known:
        monkeypatch.setattr("dacbn.datasets.digits.find_spec", lambda name: None)
    (images, labels), bunch = digits_module._read_all.__wrapped__(), load_digits()
    assert np.array_equal(images, bunch.images) and np.array_equal(labels, bunch.target)
    assert (images.dtype == np.uint8) == known


@pytest.mark.parametrize(("train", "part"), [(True, TRAIN), (False, TEST)])
def test_digits_show_scikit_learns_rows(train, part):
    domain, pixels = load("digits", train)
    bunch, rows = load_digits(), list(shuffled_rows()[part])
    assert np.array_equal(domain.labels, bunch.target[rows])
    small = pixels.float().mean(1).reshape(-1, 8, 4, 8, 4).mean((2, 4)).flatten(1)
    wanted = torch.from_numpy(bunch.data[rows]).float()
    likeness = torch.corrcoef(torch.cat([small[:50], wanted[:50]]))[:50, 50:]
    assert torch.equal(likeness.argmax(1), torch.arange(50))  # interpolated, so not equal


@pytest.mark.parametrize(
    ("name", "train_count", "test_count"),
    [("digits", 900, 297), ("color_digits", 1800, 891), ("street_digits", 3000, 1000)],
)
def test_counts_sizes_and_classes(name, train_count, test_count):
    for train, count in [(True, train_count), (False, test_count)]:
        domain, pixels = load(name, train)
        assert pixels.shape == (count, 3, 32, 32) and pixels.dtype == torch.uint8
        assert domain.classes == tuple("0123456789")
        assert domain.labels.unique().tolist() == list(range(10))


def test_street_digits_have_as_many_of_each_class():
    for train, each in [(True, 300), (False, 100)]:
        assert torch.bincount(load("street_digits", train)[0].labels).tolist() == [each] * 10


@pytest.mark.parametrize(
    ("name", "module"), [("color_digits", color_module), ("street_digits", street_module)]
)
def test_made_images_are_the_same_every_time_and_differ_between_parts(name, module):
    first = load(name, False)[1]
    module._make.cache_clear()
    torch.manual_seed(123)  # the global generator must not matter
    assert torch.equal(load(name, False)[1], first)
    assert not torch.equal(load(name, True)[1][:600], first[:600])


def test_each_test_digit_lies_on_three_different_textures():
    domain, pixels = load("color_digits", False)
    assert torch.equal(domain.labels.reshape(3, 297)[0], domain.labels.reshape(3, 297)[2])
    assert len(pixels.flatten(1).unique(dim=0)) == 891


def test_color_digits_come_from_rows_that_digits_do_not_train_on():
    labels = load_digits().target[list(shuffled_rows()[SPARE])]
    assert np.array_equal(load("color_digits", True)[0].labels, np.tile(labels, 3))


def test_blending_is_the_absolute_difference_of_every_pixel():
    random = np.random.default_rng(0)
    textures = random.integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    digits = random.integers(0, 256, (2, 1, 4, 4), dtype=np.uint8)
    blended = blend(torch.from_numpy(textures), torch.from_numpy(digits))
    for n, c, y, x in np.ndindex(*textures.shape):
        assert int(blended[n, c, y, x]) == abs(int(textures[n, c, y, x]) - int(digits[n, 0, y, x]))


def test_textures_vary_as_much_as_asked():
    textures = make_textures(200, 32, 0.02, torch.Generator().manual_seed(0))
    assert textures.min() >= 0 and textures.max() <= 1
    spread = (textures - textures.mean(dim=(2, 3), keepdim=True)).std()
    assert 0.01 < float(spread) < 0.025
