"""One answer per image, in a known order and with its file, whatever the images come in."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from dacbn import DomainAdapter
from dacbn.classifier import NO_LABEL
from dacbn.datasets import list_images, load_unlabelled

RANDOM = np.random.default_rng(0)
PHOTOS = RANDOM.integers(0, 256, (12, 40, 30, 3), dtype=np.uint8)  # H x W = 40 x 30
NAMES = ["cat", "dog"]


@pytest.fixture(scope="module")
def adapter():
    options = {"steps": 2, "source_batch_size": 6, "target_batch_size": 6, "device": "cpu"}
    adapter = DomainAdapter(norm=None, method="source_only", image_size=32, **options)
    return adapter.fit((PHOTOS, NAMES * 6), PHOTOS)


def save(path, photo):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture
def days(tmp_path):
    """Write two folders of six photos each; as sorted, they are in the order of PHOTOS."""
    for number, photo in enumerate(PHOTOS):
        save(tmp_path / ("monday" if number < 6 else "tuesday") / f"{number:02d}.png", photo)
    return tmp_path


def break_files(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"no image")


def test_every_image_of_a_folder_is_answered_sorted_by_path(adapter, days):
    for ask in (adapter.predict, adapter.predict_proba, adapter.transform):
        np.testing.assert_allclose(ask(days), ask(PHOTOS), rtol=1e-5, atol=1e-6)
    assert len(adapter.images_of(days)) == 12


@pytest.mark.parametrize("place", ["stray.png", "train/a/1.png", "monday/deep/er/1.png"])
def test_no_image_is_left_out_wherever_it_lies(adapter, days, place):
    save(days / place, PHOTOS[0])
    files = [answer.file for answer in adapter.answers(days)]
    assert len(files) == 13 and files == sorted(files) == sorted(days.rglob("*.png"))
    assert list_images(days) == files


def test_answers_say_what_the_other_methods_say(adapter, days):
    answers, probabilities = adapter.answers(str(days)), adapter.predict_proba(days)
    assert [answer.file for answer in answers] == list_images(days)
    assert np.array_equal([answer.probabilities for answer in answers], probabilities)
    labels = adapter.predict(days)
    assert [answer.label for answer in answers] == [NAMES[label] for label in labels]
    assert [answer.confidence for answer in answers] == probabilities.max(1).tolist()
    assert {answer.reason for answer in answers} == {None}
    assert {answer.file for answer in adapter.answers(PHOTOS)} == {None}


@pytest.mark.filterwarnings("ignore:.*unreadable")
@pytest.mark.parametrize("adapt", [None, "tent"])
def test_broken_files_keep_their_places(adapter, days, adapt):
    whole = adapter.predict_proba(days)
    break_files(days, "monday/00.png", "tuesday/07.png")
    for images in (days, list_images(days)):
        probabilities = adapter.predict_proba(images, adapt=adapt)
        lost = np.isnan(probabilities).all(1)
        assert lost.nonzero()[0].tolist() == [0, 7] and not np.isnan(probabilities[~lost]).any()
        if adapt is None:
            np.testing.assert_allclose(probabilities[~lost], whole[~lost], rtol=1e-5)
        labels = adapter.predict(images, adapt=adapt)
        assert np.array_equal(labels[~lost], probabilities[~lost].argmax(1))
        assert (labels[lost] == NO_LABEL).all()
        assert np.isnan(adapter.transform(images, adapt=adapt)).all(1).tolist() == lost.tolist()
        answers = adapter.answers(images, adapt=adapt)
        assert [answer.label is None for answer in answers] == lost.tolist()
        assert answers[7].file.name == "07.png" and answers[7].confidence is None
        assert answers[7].reason == "no image format that Pillow reads"


def test_no_label_names_no_class():
    for names in (NAMES, np.array(NAMES)):
        with pytest.raises(IndexError):
            names[NO_LABEL]


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_without_any_readable_file_nothing_is_answered(adapter, tmp_path):
    break_files(tmp_path, "a.png", "b.png")
    for images in (tmp_path, [tmp_path / "a.png", tmp_path / "b.png"]):
        assert adapter.predict(images).tolist() == [NO_LABEL] * 2
        assert np.isnan(adapter.transform(images)).shape == (2, adapter.network.num_features)
    assert adapter.predict(tmp_path / "b.png").tolist() == [NO_LABEL]


def test_broken_files_are_errors_by_choice(adapter, days):
    break_files(days, "monday/00.png")
    methods = (adapter.predict, adapter.predict_proba, adapter.transform, adapter.answers)
    for ask in methods:
        for images in (days, list_images(days)):
            with pytest.raises(ValueError, match=r"1 image is unreadable: .*00\.png"):
                ask(images, on_unreadable="raise")
            with pytest.warns(UserWarning, match="1 image is unreadable"):
                assert len(ask(images, on_unreadable="skip")) == 12
    pair = (list_images(days), NAMES * 6)
    for ask in (adapter.score, adapter.evaluate):
        with pytest.raises(ValueError, match="1 image is unreadable"):
            ask(pair, on_unreadable="raise")
    with pytest.raises(ValueError, match='on_unreadable must be "skip" or "raise", got \'no\''):
        adapter.predict(days, on_unreadable="no")


def test_the_choice_of_the_training_is_the_default(days):
    options = {"steps": 1, "device": "cpu", "norm": None, "method": "source_only"}
    adapter = DomainAdapter(on_unreadable="raise", image_size=32, **options)
    adapter.fit((PHOTOS, NAMES * 6), PHOTOS)
    break_files(days, "monday/00.png")
    with pytest.raises(ValueError, match="unreadable"):
        adapter.predict(days)


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_the_score_of_files_is_that_of_those_that_can_be_read(adapter, days):
    files, labels = list_images(days), np.array([0, 1] * 6)
    break_files(days, "monday/00.png")
    found = adapter.predict(files)
    expected = (found == labels)[1:].mean()
    assert adapter.score((files, [NAMES[label] for label in labels])) == pytest.approx(expected)


def test_one_photo_is_one_photo_in_any_form(adapter, tmp_path):
    path = save(tmp_path / "photo.png", PHOTOS[3])
    expected = adapter.predict_proba(PHOTOS)[3:4]
    tensor = torch.from_numpy(PHOTOS[3]).permute(2, 0, 1)
    forms = [path, str(path), Image.open(path), PHOTOS[3], PHOTOS[3] / 255, tensor[None], [path]]
    for photo in forms:
        np.testing.assert_allclose(adapter.predict_proba(photo), expected, atol=1e-6)
        assert len(adapter.predict(photo)) == len(adapter.transform(photo)) == 1


def test_what_people_hold_is_answered_alike(adapter, days):
    expected, files = adapter.predict_proba(days), list_images(days)
    pictures, names = [Image.open(file) for file in files], [str(file) for file in files]
    folder = ImageFolder(days)
    forms = [pictures, tuple(pictures), names, np.array(names), np.array(files), folder]
    for images in forms:
        np.testing.assert_allclose(adapter.predict_proba(images), expected, atol=1e-6)
    assert [answer.file for answer in adapter.answers(folder)] == files


def test_a_list_of_folders_and_files_is_answered_in_its_order(adapter, days):
    first, last = days / "tuesday", days / "monday" / "02.png"
    expected = adapter.predict_proba(PHOTOS)[[*range(6, 12), 2]]
    np.testing.assert_allclose(adapter.predict_proba([first, last]), expected, atol=1e-6)
    table = days / "table.csv"
    table.write_text("file,label\nmonday/02.png,cat\nmonday/01.png,dog\n")
    found = adapter.answers(table)
    assert [answer.file.name for answer in found] == ["02.png", "01.png"]


def test_a_file_that_is_not_there_is_a_mistake(adapter, tmp_path):
    for images in (tmp_path / "no.png", [tmp_path / "no.png"]):
        with pytest.raises(FileNotFoundError, match=r"no\.png does not exist"):
            adapter.predict(images)


def fill(folder, values):
    """Write a grey photo per value into two class folders; return the values."""
    for value in values:
        save(folder / NAMES[value % 2] / f"{value:03d}.png", np.full((8, 8, 3), value, np.uint8))
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
