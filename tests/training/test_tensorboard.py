"""TensorBoard shows numbers, images, an embedding and the settings of a run."""

import numpy as np
import pytest

from dacbn import DomainAdapter

pytest.importorskip("tensorboard")
SMALL = {"steps": 2, "source_batch_size": 4, "target_batch_size": 4, "log_every": 1}
CLASSES = np.array(["a\tcup", "pen"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    adapter = DomainAdapter(norm="batch_norm", device="cpu", tensorboard=True, **SMALL)
    adapter.fit((images, CLASSES[np.arange(12) % 2]), images, run=folder)
    return folder


@pytest.fixture(scope="module")
def events(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run)).Reload()


def test_numbers_and_images_are_there(events):
    tags = events.Tags()
    assert "classification" in tags["scalars"]
    assert set(tags["images"]) == {"source", "target"}
    assert len(events.Images("source")) == 1


def test_settings_are_there_with_the_last_numbers(events):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = events.summary_metadata["_hparams_/session_start_info"]
    data = HParamsPluginData.FromString(found.plugin_data.content)
    settings = data.session_start_info.hparams
    assert settings["steps"].number_value == 2 and settings["norm"].string_value == "batch_norm"
    found = events.summary_metadata["_hparams_/experiment"]
    experiment = HParamsPluginData.FromString(found.plugin_data.content).experiment
    assert "classification" in {each.name.tag for each in experiment.metric_infos}


def test_the_projector_has_features_with_pictures_and_names(run):
    (place,) = {path.parent for path in run.glob("*/*/tensors.tsv")}
    assert len((place / "tensors.tsv").read_text().splitlines()) == 8
    header, *rows = (place / "metadata.tsv").read_text().splitlines()
    assert header == "domain\tclass" and len(rows) == 8
    assert {row.split("\t")[0] for row in rows} == {"source", "target"}
    assert {row.split("\t")[1] for row in rows} <= {"a cup", "pen"}
    assert (place / "sprite.png").exists() and "features" in (
        run / "projector_config.pbtxt"
    ).read_text()


def test_a_frozen_backbone_shows_images_and_their_features_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    options = {**SMALL, "norm": "batch_norm", "train": "head", "device": "cpu"}
    adapters = [DomainAdapter(tensorboard=shown, **options) for shown in (True, False)]
    for name, adapter in zip(("run", "plain"), adapters, strict=True):
        adapter.fit((images, CLASSES[np.arange(12) % 2]), images, run=tmp_path / name)
    found = EventAccumulator(str(tmp_path / "run")).Reload()
    assert set(found.Tags()["images"]) == {"source", "target"}
    (place,) = {path.parent for path in (tmp_path / "run").glob("*/*/tensors.tsv")}
    assert len((place / "metadata.tsv").read_text().splitlines()) == 9
    first, second = (adapter.predict_proba(images) for adapter in adapters)
    np.testing.assert_array_equal(first, second)  # what is shown draws nothing of the training


def test_without_tensorboard_nothing_of_it_is_written(tmp_path):
    images = np.zeros((8, 32, 32, 3), np.uint8)
    adapter = DomainAdapter(norm="batch_norm", device="cpu", **SMALL)
    adapter.fit((images, np.arange(8) % 2), images, run=tmp_path / "run")
    assert not list((tmp_path / "run").glob("*tfevents*")) and not list(
        tmp_path.glob("run/*/*.tsv")
    )
