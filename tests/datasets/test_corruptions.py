"""Corruptions: five strengths, each image always in the same way."""

import pytest
import torch

from dacbn.datasets import LabelledImages, TensorImages
from dacbn.datasets.corruptions import CORRUPTIONS, STRENGTHS, CorruptedImages, corrupted

SIZE = 32


def pictures(count=4, size=SIZE):
    """Smooth pictures of all colours, with a sharp edge."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    pixels[:, :, size // 4 : size // 2, size // 3 :] *= 0.3
    return TensorImages((pixels.clamp(0, 1) * 200 + 20).to(torch.uint8))


@pytest.mark.parametrize("name", list(CORRUPTIONS))
@pytest.mark.parametrize("size", [SIZE, 75])
def test_a_stronger_one_changes_more(name, size):
    images = pictures(size=size)
    clean, changes = images.pixels.float(), []
    for strength in STRENGTHS:
        found = CorruptedImages(images, name, strength).gather(torch.arange(4))
        assert found.dtype == torch.uint8 and found.shape == clean.shape
        changes.append(float((found.float() - clean).abs().mean()))
    assert changes[0] > 0.1 and changes == sorted(changes) and changes[4] > 1.5 * changes[0]


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_an_image_is_corrupted_alike_whatever_comes_with_it(name):
    images = pictures()
    first = CorruptedImages(images, name, 3, seed=1)
    alone, together = first.gather(torch.tensor([2])), first.gather(torch.tensor([3, 2, 2]))
    assert torch.equal(alone[0], together[1]) and torch.equal(alone[0], together[2])
    torch.manual_seed(5)
    assert torch.equal(CorruptedImages(images, name, 3, seed=1).gather(torch.tensor([2])), alone)


@pytest.mark.parametrize("name", ["noisy", "warped"])
def test_seeds_and_images_draw_anew(name):
    same = TensorImages(pictures(1).pixels.repeat(2, 1, 1, 1))
    one, other = CorruptedImages(same, name).gather(torch.arange(2))
    assert not torch.equal(one, other)
    again = CorruptedImages(same, name, seed=1).gather(torch.arange(2))
    assert not torch.equal(again[0], one) and not torch.equal(again[0], other)


def test_noise_has_its_standard_deviation():
    grey = TensorImages(torch.full((1, 3, 64, 64), 128, dtype=torch.uint8))
    found = CorruptedImages(grey, "noisy", 1).gather(torch.tensor([0])).double()
    assert abs(found.std() - 0.08 * 255) < 1 and abs(found.mean() - 128) < 1


def test_light_and_contrast_are_what_they_say():
    two = torch.tensor([60, 140], dtype=torch.uint8).repeat(3, 8, 4)[None]
    faded = CorruptedImages(TensorImages(two), "faded", 3).gather(torch.tensor([0]))
    lit = CorruptedImages(TensorImages(two), "lit", 1).gather(torch.tensor([0]))
    assert abs(int(faded.max()) - int(faded.min()) - 0.3 * 80) <= 1
    assert sorted(lit.unique().tolist()) == [98, 178]


def test_a_domain_keeps_its_labels():
    domain = LabelledImages(pictures(), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    found = corrupted(domain, "blurred", 5)
    assert torch.equal(found.labels, domain.labels) and found.images.size == SIZE
    assert len(found) == 4 and not len(found.images.gather(torch.empty(0, dtype=torch.int64)))


def test_what_does_not_exist_raises():
    with pytest.raises(ValueError, match=r"unknown corruption .foggy.\. Known: noisy, blurred"):
        CorruptedImages(pictures(), "foggy")
    with pytest.raises(ValueError, match="a strength must be one of 1 to 5, got 6"):
        CorruptedImages(pictures(), "noisy", 6)
