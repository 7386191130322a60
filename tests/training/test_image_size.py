"""The size of images: that of pretrained weights for photographs, bounded on a CPU."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.adapter import DomainAdapter
from dacbn.models import trained_size
from dacbn.training import TrainConfig, choose_size, describe_size

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def photos(tmp_path):
    """Write two folders of images, with two classes each."""
    for domain in ("a", "b"):
        for name in ("bike", "mug"):
            (tmp_path / domain / name).mkdir(parents=True)
            for index in range(6):
                pixels = np.random.default_rng(index).integers(0, 256, (40, 50, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / domain / name / f"{index}.png")
    return str(tmp_path / "a"), str(tmp_path / "b")


def configure(backbone="resnet18", pretrained=True, **options):
    return TrainConfig(backbone=backbone, pretrained=pretrained, **options)


@pytest.mark.parametrize(
    ("backbone", "on_cpu", "on_gpu"),
    [
        ("resnet18", 160, 224),
        ("tf_efficientnet_lite4", 160, 380),
        ("test_vit", 160, 160),
        ("vit_small_patch14_dinov2", 518, 518),  # positions are learned for one size
    ],
)
def test_photographs_have_the_size_of_the_pretraining_at_most_160_on_a_cpu(
    photos, backbone, on_cpu, on_gpu
):
    assert choose_size(configure(backbone), CPU, *photos) == on_cpu
    assert choose_size(configure(backbone), GPU, *photos) == on_gpu


def test_a_size_that_is_given_is_taken(photos):
    assert choose_size(configure(image_size=96), CPU, *photos) == 96
    assert describe_size(configure(image_size=96), 96) == ""


def test_random_weights_and_other_images_keep_their_own_size(photos):
    assert choose_size(configure(pretrained=False), CPU, *photos) == 224
    assert choose_size(configure(), CPU, "digits", "color_digits") == 32
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    assert choose_size(configure(), CPU, pictures, pictures) == 64


def test_a_smaller_size_is_explained(photos):
    assert describe_size(configure(), 160) == (
        "images of 160 pixels per side, because there is no GPU: image_size=224 is that of the "
        "pretrained weights, and slower"
    )
    assert describe_size(configure(), 224) == ""
    assert describe_size(configure(pretrained=False), 224) == ""


@pytest.mark.parametrize("name", ["digits_cnn", "no_such_model", "resnet18.no_such_weights"])
def test_what_timm_has_no_weights_for_has_no_size(name):
    assert trained_size(name) is None


def test_a_resumed_run_keeps_its_size(tmp_path, photos):
    options = {"backbone": "digits_cnn", "steps": 1, "image_size": 32, "device": "cpu"}
    DomainAdapter(**options, source_batch_size=4, target_batch_size=4).fit(
        *photos, run=tmp_path / "run"
    )
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    content["training"] |= {"image_size": None, "steps": 2}
    path.write_text(json.dumps(content))
    adapter = DomainAdapter.from_run(tmp_path / "run")
    assert adapter.fit(*photos, run=tmp_path / "run", resume=True).image_size == 32
