"""Which images are scored: all that were not trained on, and none that was."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from dacbn import DomainAdapter
from dacbn.datasets import list_images, load_unlabelled

NAMES = ["cat", "dog"]


def fill(folder, values):
    """Write a grey photo per value into two class folders; return the values."""
    for value in values:
        path = folder / NAMES[value % 2] / f"{value:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)
    return list(values)


def values_of(images):
    """Return the grey values of images, which name them."""
    return images[:, 0, 0, 0].tolist()


def scored(adapter, test):
    """Return the grey value of each image that the network sees while it is scored, sorted."""
    seen = []
    note = lambda _, inputs: seen.extend(values_of((inputs[0] * 255).round().int()))  # noqa: E731
    hook = adapter.network.register_forward_pre_hook(note)
    adapter.evaluate(test)
    hook.remove()
    return sorted(seen)


def train(source, target, **options):
    settings = {"steps": 20, "source_batch_size": 16, "target_batch_size": 16, "augment": "none"}
    settings |= {"norm": None, "method": "source_only", "image_size": 32, "device": "cpu"}
    return DomainAdapter(**settings, eval_every=100).fit(source, target, **options)


def test_a_folder_that_was_never_trained_on_is_scored_whole(tmp_path):
    fill(tmp_path / "source", range(30))
    fill(tmp_path / "target", range(100, 130))
    new = fill(tmp_path / "new", range(200, 240))
    adapter = train(tmp_path / "source", tmp_path / "target", target_test=tmp_path / "new")
    assert scored(adapter, tmp_path / "new") == new
    assert adapter.records[-1]["target_test_accuracy"] == adapter.score(tmp_path / "new")
    table = tmp_path / "new.txt"
    table.write_text("".join(f"new/{NAMES[v % 2]}/{v:03d}.png {NAMES[v % 2]}\n" for v in new))
    assert scored(adapter, table) == new


def test_no_image_that_was_trained_on_is_scored(tmp_path, monkeypatch):
    everything = fill(tmp_path / "photos", range(60))
    fill(tmp_path / "source", range(100, 140))
    monkeypatch.chdir(tmp_path)
    adapter = train("source", "photos")
    target = load_unlabelled("photos", train=True, root=tmp_path, size=8).images
    trained = set(values_of(target.gather(torch.arange(len(target)))))
    assert 30 < len(trained) < 60
    assert scored(adapter, "photos") == sorted(set(everything) - trained)
    fill(tmp_path / "photos", range(60, 70))  # after the training
    assert not set(scored(adapter, "photos")) & trained
    for file in (tmp_path / "photos").rglob("*.png"):
        link = tmp_path / "links" / file.parent.name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    assert scored(adapter, "links") == scored(adapter, "photos")
    (tmp_path / "above").mkdir()
    for name in NAMES:
        (tmp_path / "photos" / name).rename(tmp_path / "above" / name)
    (tmp_path / "photos").rmdir()
    (tmp_path / "photos").symlink_to(tmp_path / "above")
    assert scored(adapter, "above") == scored(adapter, "photos")


def test_a_saved_run_knows_what_it_was_trained_on_from_everywhere(tmp_path, monkeypatch):
    fill(tmp_path / "source", range(30))
    fill(tmp_path / "target", range(100, 130))
    monkeypatch.chdir(tmp_path)
    adapter = train("source", "target", run="run")
    expected = scored(adapter, "target")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = DomainAdapter.from_pretrained("../run", device="cpu")
    assert len(expected) < 15 and scored(again, "../target") == expected
    monkeypatch.chdir(tmp_path)
    text = json.loads((tmp_path / "run" / "config.json").read_text())
    del text["trained_on"]  # as it was before
    (tmp_path / "run" / "config.json").write_text(json.dumps(text))
    assert scored(DomainAdapter.from_pretrained("run", device="cpu"), "target") == expected


def test_what_an_adaptation_began_with_is_not_scored_either(tmp_path):
    for number, name in enumerate(("source", "first", "second")):
        fill(tmp_path / name, range(60 * number, 60 * number + 60))
    adapter = train(tmp_path / "source", tmp_path / "first")
    of_first = scored(adapter, tmp_path / "first")
    assert len(of_first) < 30 and len(scored(adapter, tmp_path / "second")) == 60
    adapter.adapt(tmp_path / "second", steps=1, run=tmp_path / "run")
    again = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu")
    for each in (adapter, again):
        assert scored(each, tmp_path / "first") == of_first
        assert 0 < len(scored(each, tmp_path / "second")) < 30


def test_where_the_folder_trained_on_is_lost_a_fifth_is_scored_and_said(tmp_path):
    fill(tmp_path / "source", range(30))
    fill(tmp_path / "target", range(100, 160))
    adapter = train(tmp_path / "source", tmp_path / "target")
    expected = scored(adapter, tmp_path / "target")
    (tmp_path / "target").rename(tmp_path / "moved")
    with pytest.warns(UserWarning, match=r"target, which was trained on, cannot be read any more"):
        assert scored(adapter, tmp_path / "moved") == expected


def test_where_another_folder_is_lost_the_target_is_scored_without_a_word(tmp_path):
    fill(tmp_path / "source", range(30))
    fill(tmp_path / "target", range(100, 160))
    adapter = train(tmp_path / "source", tmp_path / "target")
    expected = scored(adapter, tmp_path / "target")
    (tmp_path / "source").rename(tmp_path / "moved")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scored(adapter, tmp_path / "target") == expected


def test_a_folder_of_images_that_were_all_trained_on_is_refused(tmp_path):
    fill(tmp_path / "source", range(30))
    fill(tmp_path / "target", range(100, 130, 2))
    adapter = train(tmp_path / "source", tmp_path / "target" / "cat")
    with pytest.raises(ValueError, match="nothing to test on, because all images were trained on"):
        adapter.score(tmp_path / "target")


def test_images_that_are_handed_over_are_all_scored(tmp_path):
    fill(tmp_path / "source", range(30))
    values = fill(tmp_path / "target", range(100, 130))
    adapter = train(tmp_path / "source", tmp_path / "target")
    files = list_images(tmp_path / "target")
    for data in ((files, [file.parent.name for file in files]), ImageFolder(tmp_path / "target")):
        assert scored(adapter, data) == values
