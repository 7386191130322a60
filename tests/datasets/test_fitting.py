"""Images that are not square become square by one rule, as files and as arrays."""

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets import (
    TensorImages,
    folders,
    load_labelled,
    load_sample,
    to_labelled,
    to_unlabelled,
)

WIDE = np.zeros((16, 160, 3), np.uint8)
WIDE[:, :20] = 255  # at the left, where the crop does not reach

# what each rule makes of WIDE at 16 pixels: the mean of all pixels
MEANS = {"crop": 0, "pad": 255 * 2 * 2 / 256, "squeeze": 255 * 2 / 16}


def mean_of(domain):
    return domain.images.gather(torch.arange(len(domain))).float().mean().item()


@pytest.fixture
def folder(tmp_path):
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(WIDE).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("budget", [0, 10**9])
@pytest.mark.parametrize("fit", MEANS)
def test_files_arrays_and_pictures_follow_one_rule(folder, monkeypatch, fit, budget):
    monkeypatch.setattr(folders, "MEMORY_BUDGET", budget)
    pair = ([WIDE, WIDE], [0, 1])
    sources = [
        to_labelled(str(folder), 16, train=True, root=folder, fit=fit),
        to_labelled((np.stack(pair[0]), pair[1]), 16, train=True, fit=fit),
        to_labelled((torch.from_numpy(np.stack(pair[0])), pair[1]), 16, train=True, fit=fit),
        load_sample(folder, 9, train=True, root=folder, size=16, fit=fit),
        to_unlabelled([folder / "a" / "0.png"], 16, train=False, fit=fit),
        to_unlabelled([Image.fromarray(WIDE)], 16, train=False, fit=fit),
        to_unlabelled(WIDE[None] / 255, 16, train=False, fit=fit),
        to_unlabelled(WIDE.transpose(2, 0, 1)[None], 16, train=False, fit=fit),
    ]
    means = [mean_of(source) for source in sources]
    assert max(means) - min(means) < 1e-6
    assert abs(means[0] - MEANS[fit]) < 3  # the edge of the white part is blurred


@pytest.mark.parametrize("fit", MEANS)
@pytest.mark.parametrize("size", [16, 9])
def test_square_images_are_only_resized(tmp_path, fit, size):
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(square).save(tmp_path / "a.png")
    pixels = [
        to_unlabelled(data, size, train=False, fit=fit).images.gather(torch.tensor([0])).int()
        for data in (square[None], [tmp_path / "a.png"])
    ]
    assert (pixels[0] - pixels[1]).abs().max() <= 1
    if size == 16:
        assert np.array_equal(pixels[0][0].permute(1, 2, 0).numpy(), square)


def test_odd_sides_are_cropped_as_files_are(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (12, 17), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    from_file = load_sample(tmp_path, 1, train=True, root=tmp_path, size=8)
    from_array = to_unlabelled(image[None], 8, train=False)
    assert isinstance(from_array.images, TensorImages)
    assert torch.equal(from_file.images.pixels, from_array.images.pixels)


def test_the_default_is_to_crop(folder):
    assert mean_of(load_labelled(folder, train=True, root=folder, size=16)) == 0
    assert mean_of(to_unlabelled(WIDE[None], 16, train=True)) == 0
