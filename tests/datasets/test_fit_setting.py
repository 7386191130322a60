"""The setting `fit` reaches every place where a trained network reads images."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn import DomainAdapter
from dacbn.commands.predict import predict
from dacbn.training import TrainConfig

WIDE = np.zeros((8, 16, 160, 3), np.uint8)
WIDE[1::2, :, :20] = 255
WIDE[0::2, :, 140:] = 120
OPTIONS = {"steps": 1, "source_batch_size": 4, "target_batch_size": 4, "device": "cpu"}


def fitted(**options):
    return DomainAdapter(**OPTIONS, **options).fit((WIDE, np.arange(8) % 2), WIDE)


@pytest.mark.parametrize(("fit", "mean"), [("crop", 0), ("pad", 3.2), ("squeeze", 31.9)])
def test_files_and_arrays_are_read_alike(tmp_path, fit, mean):
    Image.fromarray(WIDE[1]).save(tmp_path / "w.png")
    adapter = fitted(fit=fit)
    for data in ([tmp_path / "w.png"], WIDE[1:2]):
        pixels = adapter.images_of(data).gather(torch.tensor([0])).float()
        assert abs(pixels.mean().item() - mean) < 1


def test_the_command_predicts_as_the_classifier_does(tmp_path):
    adapter = fitted(fit="squeeze")
    adapter.save_pretrained(tmp_path / "run")
    for number, image in enumerate(WIDE):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = tuple(tmp_path / f"{number}.png" for number in range(8))
    predict(tmp_path / "run", files, tmp_path / "table.csv", device="cpu")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    confidences = adapter.predict_proba(WIDE).max(1)
    assert np.ptp(confidences) > 2e-3  # cropped, all images would be black and so alike
    assert np.allclose([float(row["confidence"]) for row in rows], confidences, atol=1e-3)


def test_settings_saved_before_there_was_a_choice_crop():
    fields = TrainConfig().to_json()
    del fields["fit"]
    assert TrainConfig.from_json(fields).fit == "crop"


def test_a_target_that_lacks_a_class_is_scored(tmp_path):
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
    for number in range(4):
        Image.fromarray(WIDE[number]).save(tmp_path / "1" / f"{number}.png")
        Image.fromarray(WIDE[number]).save(tmp_path / "0" / f"{number}.png")
    labels = np.arange(8) % 3
    adapter = DomainAdapter(**OPTIONS).fit((WIDE, labels), WIDE, target_test=tmp_path)
    assert adapter.classes == ("0", "1", "2")
    assert 0 <= adapter.records[-1]["target_test_accuracy"] <= 1
    files = sorted(tmp_path.glob("*/*.png"))
    right = [adapter.classes[label] for label in adapter.predict(files)] == np.array([*"00001111"])
    assert adapter.score((files, [file.parent.name for file in files])) == np.mean(right)
