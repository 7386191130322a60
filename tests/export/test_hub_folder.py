"""Folders for the Hugging Face hub: they load anywhere, and their card says what is known."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from exported import CLASSES, SIZE, drawn_images, trained_adapter, trained_run
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from dacbn import DomainAdapter, cli
from dacbn.datasets import to_float
from dacbn.export import hub_folder
from dacbn.export.hub_network import HubNetwork
from dacbn.export.model_card import write_card
from dacbn.export.published_settings import publish
from dacbn.export.scores import recorded_scores
from dacbn.models import digits_cnn
from dacbn.training import RunInfo, TrainConfig, name_domains

NEW = drawn_images(8, seed=1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run of photographs, and its folder for the hub, written by the command."""
    place = tmp_path_factory.mktemp("exported")
    options = {"data_root": place / "data", "cache": str(place / "cache"), "norm_sites": "all"}
    run, _ = trained_run(place, **options)
    with pytest.MonkeyPatch.context() as patch:
        words = ["dacbn", "export", str(run), "--format", "hub(licence='apache-2.0')"]
        patch.setattr("sys.argv", words)
        cli.main()
    return run, run / "hub"


def card_of(folder):
    return ModelCard.load(folder / "README.md")


def test_it_answers_as_the_run_does_for_each_domain(exported):
    before, after = map(DomainAdapter.from_pretrained, exported)
    assert after.classes == before.classes
    for domain in ("studio", "phone"):
        expected = before.predict_proba(NEW, domain)
        np.testing.assert_allclose(after.predict_proba(NEW, domain), expected, atol=1e-6)
    assert sorted(file.name for file in exported[1].iterdir()) == [
        *("README.md", "config.json", "held_out.safetensors", "model.safetensors")
    ]


def test_no_path_of_this_machine_is_in_it(exported):
    run, folder = exported
    for name in ("README.md", "config.json"):
        text = (folder / name).read_text()
        assert str(run.parent) not in text and str(Path.home()) not in text
    settings = json.loads((folder / "config.json").read_text())
    assert (settings["training"]["source"], settings["training"]["target"]) == (
        ["studio"],
        ["phone"],
    )
    assert settings["trained_on"] == []


def test_the_card_holds_the_scores_with_the_number_of_images(exported):
    run, folder = exported
    adapter, card = DomainAdapter.from_pretrained(run), card_of(folder)
    assert card.data.license == "apache-2.0" and card.data.library_name == "dacbn"
    results = {each.dataset_name: each.metric_value for each in card.data.eval_results}
    row = r"^\| (\w+) \| (\w+) \| ([\d.]+)% \([\d.]+ to [\d.]+\) \| [\d.]+% \| (\d+) \|$"
    rows = re.findall(row, card.text, re.M)
    assert "Chance reaches " in card.text
    assert [row[:2] for row in rows] == [("source", "studio"), ("target", "phone")]
    places = adapter.config.source + adapter.config.target
    for (_, name, percent, count), domain in zip(rows, places, strict=True):
        scores = adapter.evaluate(domain, name)
        assert results[name] == round(scores["accuracy"], 6)
        assert percent == f"{100 * scores['accuracy']:.1f}"
        assert int(count) == len(adapter.labelled_of(domain)) > 0


def test_the_card_names_data_method_and_norm(exported):
    text = card_of(exported[1]).text
    assert "labelled images of studio and unlabelled images of phone" in text
    assert "4 classes: ant, bee, cat, dog" in text and f"{SIZE} x {SIZE} pixels" in text
    assert re.search(r"normaliser: `domain_specific_batch_norm`.*arxiv.org/abs/1906.03950", text)
    assert "method: `source_only`. " in text and "test_resnet, from random weights" in text


def test_the_snippet_of_the_card_runs_as_printed(exported, monkeypatch, capsys):
    (snippet,) = re.findall(r"```python\n(.*?)```", card_of(exported[1]).text, re.DOTALL)
    monkeypatch.chdir(exported[1])
    exec(snippet, {})
    assert str(CLASSES) in capsys.readouterr().out


def test_a_snapshot_of_links_loads(exported, tmp_path):
    """The hub's cache holds a snapshot of links to files that are named by their hash."""
    snapshot, blobs = tmp_path / "snapshots" / "main", tmp_path / "blobs"
    snapshot.mkdir(parents=True), blobs.mkdir()
    for number, file in enumerate(sorted(exported[1].iterdir())):
        shutil.copy(file, blobs / str(number))
        os.symlink(f"../../blobs/{number}", snapshot / file.name)
    loaded = DomainAdapter.from_pretrained(snapshot)
    expected = DomainAdapter.from_pretrained(exported[0]).predict_proba(NEW)
    np.testing.assert_allclose(loaded.predict_proba(NEW), expected, atol=1e-6)


def test_the_mixin_of_huggingface_hub_loads_it(exported, tmp_path, capsys):
    network = HubNetwork.from_pretrained(exported[1])
    assert not network.training
    images = to_float(torch.tensor(NEW).movedim(3, 1))
    with torch.inference_mode():
        found = network(images, torch.ones(len(NEW)).long()).logits.softmax(1)
    expected = torch.tensor(DomainAdapter.from_pretrained(exported[0]).predict_proba(NEW))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    network.save_pretrained(tmp_path / "again")
    again = DomainAdapter.from_pretrained(tmp_path / "again").predict_proba(NEW)
    np.testing.assert_allclose(again, expected.numpy(), atol=1e-6)


def test_what_the_mixin_saves_keeps_labels_and_the_threshold_of_unknown(tmp_path):
    images, labels = drawn_images(), np.array([*CLASSES] * 6)
    options = {"steps": 1, "source_batch_size": 8, "target_batch_size": 8}
    adapter = DomainAdapter(norm="batch_norm", method="source_only", unknown=True, **options)
    adapter.fit((images, labels), 255 - images).export(tmp_path / "hub", "hub")
    HubNetwork.from_pretrained(tmp_path / "hub").save_pretrained(tmp_path / "again")
    again = DomainAdapter.from_pretrained(tmp_path / "again")
    assert again.predict(images).tolist() == adapter.predict(images).tolist()
    settings = json.loads((tmp_path / "again" / "config.json").read_text())
    assert settings["trained_on"] == []


def test_the_mixin_refuses_weights_of_another_network(exported, tmp_path):
    """By itself, huggingface_hub 2.4 would leave the network's random weights, in silence."""
    shutil.copytree(exported[1], tmp_path / "hub")
    file = tmp_path / "hub" / "model.safetensors"
    save_file({f"x.{name}": value for name, value in load_file(file).items()}, file)
    with pytest.raises(RuntimeError, match="Missing key"):
        HubNetwork.from_pretrained(tmp_path / "hub")


def test_arrays_have_no_count_and_no_licence_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    images, labels = drawn_images(), [*CLASSES] * 6
    adapter = DomainAdapter("digits_cnn", None, "source_only", steps=1)
    adapter.fit((images, labels), images, source_test=(images, labels)).export(
        tmp_path / "a", "hub"
    )
    text = (tmp_path / "a" / "README.md").read_text()
    assert re.search(r"\| source \| source \| [\d.]+% \| [\d.]+% \| not known \|", text)
    assert "None was given." in text and "license:" not in text
    assert "the card names no licence: give one" in caplog.text


def test_a_count_that_does_not_fit_the_accuracy_is_left_out(exported):
    adapter = DomainAdapter.from_pretrained(exported[0])
    row = {**adapter.records[-1], "target_test_accuracy": 0.1234567}
    source, target = recorded_scores(adapter._run_info(), [row])
    assert source.num_images is not None and target.num_images is None


def test_several_domains_have_a_score_each():
    config = TrainConfig(source=("/a/x", "/a/y"), target=("/b/z",))
    row = {"step": 1, "source_test_accuracy": 0.5, "target_test_accuracy": 0.25}
    row |= {"source_test_accuracy/x": 0.75, "source_test_class_accuracy/x": 0.5}
    row |= {"source_test_accuracy/y": 0.25, "source_test_class_accuracy/y": 0.125}
    row |= {"target_test_class_accuracy": 0.5}
    found = [score[:4] for score in recorded_scores(RunInfo(config, CLASSES, SIZE), [row])]
    assert found == [
        *(("source", "x", 0.75, 0.5), ("source", "y", 0.25, 0.125), ("target", "z", 0.25, 0.5))
    ]


@pytest.mark.parametrize(
    "places",
    [
        {"source": ("/home/me/photos/studio",), "target": ("/home/me/photos/phone",)},
        {"source": ("/a/photos", "/b/photos"), "target": ("digits", "in memory")},
        {"source": ("/a/photos",), "target": ("/a/photos",)},
        {"source": ("mnist", "mnist"), "target": ("usps",)},
        {"source": ("hf:me/photos",), "target": ("/a/photos.csv:webcam",)},
    ],
)
def test_published_domains_keep_their_names(places):
    config = TrainConfig(
        **places, weights="/home/me/w.pth", cache="/home/me/c", data_root=Path("/d")
    )
    published = publish(config)
    text = json.dumps(published.to_json())
    assert "/home" not in text and "/a" not in text.replace("r/a", "") and '"/d' not in text
    if places["source"] != places["target"]:
        assert name_domains(published) == name_domains(config)


def test_names_on_the_hub_stay_and_become_metadata(tmp_path):
    config = publish(TrainConfig(source=("hf:me/photos",), target=("/home/me/phone",)))
    assert config.source == ("hf:me/photos",)
    write_card(tmp_path / "README.md", RunInfo(config, CLASSES, SIZE), [])
    card = card_of(tmp_path)
    assert card.data.datasets == ["me/photos"] and "None were recorded." in card.text


def test_pretrained_weights_are_named_as_the_base_model(tmp_path):
    config = TrainConfig(backbone="resnet18", pretrained=True, target=(), unseen=("usps",))
    write_card(tmp_path / "README.md", RunInfo(config, CLASSES, SIZE), [], "mit")
    card = card_of(tmp_path)
    assert card.data.base_model == "timm/resnet18.a1_in1k"
    assert "labelled images of digits.\n" in card.text and "pretrained weights of timm" in card.text


def test_the_card_compares_with_what_the_run_started_from(tmp_path):
    options = {"steps": 1, "source_batch_size": 8, "target_batch_size": 8, "method": "source_only"}
    adapter = DomainAdapter(norm="batch_norm", classifier_start="probe", device="cpu", **options)
    domain = drawn_images(), [*CLASSES] * 6
    adapter.fit(domain, domain[0], target_test=domain, run=tmp_path / "run")
    DomainAdapter.from_pretrained(tmp_path / "run", "cpu").export(tmp_path / "hub", "hub")
    text = card_of(tmp_path / "hub").text
    assert "\n\n- target against the linear probe of its first features (" in text
    assert f"of the same {len(domain[1])} images" in text


def test_a_module_of_ones_own_is_refused(tmp_path):
    adapter = trained_adapter(digits_cnn.DigitsCNN(), "batch_norm")
    with pytest.raises(ValueError, match="only your code can make"):
        adapter.export(tmp_path / "hub", "hub")


def test_what_is_no_licence_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be an identifier of the hub"):
        trained_adapter().export(tmp_path / "hub", "hub(licence='My own: see below')")


def test_what_differs_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_folder, "FARTHEST", -1)
    with pytest.raises(ValueError, match="nothing was written"):
        trained_adapter().export(tmp_path / "hub", "hub")
    assert not list(tmp_path.iterdir())


def test_a_folder_for_several_targets_needs_no_choice_of_one(tmp_path, caplog):
    images = drawn_images()
    options = {"steps": 1, "source_batch_size": 8, "target_batch_size": 8}
    adapter = DomainAdapter(norm="domain_specific_batch_norm", method="source_only", **options)
    adapter.fit((images, [*CLASSES] * 6), [255 - images, images[::-1]])
    adapter.export(tmp_path / "hub", "hub")
    loaded = DomainAdapter.from_pretrained(tmp_path / "hub")
    for domain in ("source", "target 1", "target 2"):
        expected = adapter.predict_proba(NEW, domain)
        np.testing.assert_allclose(loaded.predict_proba(NEW, domain), expected, atol=1e-6)
    with pytest.raises(ValueError, match="there is no domain 'target 3'"):
        adapter.export(tmp_path / "other", "hub", "target 3")
