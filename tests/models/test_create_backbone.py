"""Backbones by name, and the errors that a wrong name or missing weights get."""

import pytest
import timm
import torch

from dacbn.models import create_backbone
from dacbn.models.backbones import PretrainedWeightsError, UnknownBackboneError, pixel_statistics


def test_digits_cnn_turns_small_images_into_its_features():
    backbone = create_backbone("digits_cnn")
    for size in (16, 28, 32):
        assert backbone(torch.rand(2, 3, size, size)).shape == (2, backbone.head_hidden_size)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UnknownBackboneError, match=r"'resnet81'\. Nearest: .*resnet18.*digits_cnn"):
        create_backbone("resnet81")


def test_the_digits_network_is_among_the_nearest():
    with pytest.raises(UnknownBackboneError, match="Nearest: digits_cnn"):
        create_backbone("digit_cnn")


def test_weights_that_cannot_be_reached_raise_with_the_cure(monkeypatch):
    def without_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", without_network)
    with pytest.raises(
        PretrainedWeightsError, match=r"resnet18 \(OSError\).*without pretrained=True"
    ):
        create_backbone("resnet18", pretrained=True)
    # What fails without weights is no matter of weights.
    with pytest.raises(OSError, match="no route"):
        create_backbone("resnet18")


def test_the_digits_network_has_no_weights_to_load():
    with pytest.raises(PretrainedWeightsError, match="train from scratch"):
        create_backbone("digits_cnn", pretrained=True)


def test_pixels_are_standardised_as_the_backbone_expects():
    assert pixel_statistics(create_backbone("digits_cnn")) == ((0.5,) * 3, (0.5,) * 3)
    mean, std = pixel_statistics(create_backbone("resnet18"))
    assert mean == (0.485, 0.456, 0.406) and std == (0.229, 0.224, 0.225)
