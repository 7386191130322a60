"""One answer per image, in a known order and with its file, whatever the images come in."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from dacbn import DomainAdapter
from dacbn.answers import NO_LABEL
from dacbn.datasets import list_images

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
    for ask in (adapter.predict_proba, adapter.transform):
        np.testing.assert_allclose(ask(days), ask(PHOTOS), rtol=1e-5, atol=1e-6)
    assert np.array_equal(adapter.predict(days), adapter.predict(PHOTOS))
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
    assert [answer.label for answer in answers] == adapter.predict(days).tolist()
    assert [answer.confidence for answer in answers] == probabilities.max(1).tolist()
    assert {answer.reason for answer in answers} == {None}
    assert {answer.file for answer in adapter.answers(PHOTOS)} == {None}


@pytest.mark.filterwarnings("ignore:.*unreadable")
@pytest.mark.filterwarnings("ignore:test-time adaptation has 10 images")
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
        assert np.array_equal(labels[~lost], np.array(NAMES)[probabilities[~lost].argmax(1)])
        assert labels[lost].tolist() == ["", ""]
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
        assert adapter.predict(images).tolist() == ["", ""]
        assert np.isnan(adapter.transform(images)).shape == (2, adapter.network.num_features)
    assert adapter.predict(tmp_path / "b.png").tolist() == [""]


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
    files, labels = list_images(days), np.array(NAMES * 6)
    break_files(days, "monday/00.png")
    found = adapter.predict(files)
    expected = (found == labels)[1:].mean()
    assert adapter.score((files, labels)) == pytest.approx(expected)


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster_id": "tent"}, "no domain 'tent': choose one of source, target, or average"),
        (
            {"cluster_id": 0.5},
            r"a domain is a name \(source, target, .*\) or a number, got 0.5",
        ),
        ({"cluster_id": True}, r"a domain is a name .* or a number, got True"),
        ({"cluster_id": 2}, "there is no domain 2: choose 0 to 1, or one of source, target"),
        ({"cluster_id": -1}, "there is no domain -1: choose 0 to 1, or one of source, target"),
        ({"adapt": True}, "cannot read True: write a name"),
        ({"adapt": 5}, "cannot read 5: write a name"),
    ],
)
def test_arguments_of_another_kind_are_refused_in_one_line(adapter, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        adapter.predict(PHOTOS, **options)
    assert "\n" not in str(caught.value)


def test_one_photo_is_a_target_and_a_test(tmp_path):
    path = save(tmp_path / "photo.png", PHOTOS[0])
    for photo in (PHOTOS[0], Image.fromarray(PHOTOS[0]), path, str(path)):
        options = {"steps": 1, "norm": None, "method": "source_only", "device": "cpu"}
        adapter = DomainAdapter(image_size=32, **options).fit((PHOTOS, NAMES * 6), photo)
    labels = adapter.predict(PHOTOS[0])
    for photo in (PHOTOS[0], [Image.fromarray(PHOTOS[0])], [path]):
        assert adapter.score((photo, labels)) == 1


def test_a_file_that_is_not_there_is_a_mistake(adapter, tmp_path):
    for images in (tmp_path / "no.png", [tmp_path / "no.png"]):
        with pytest.raises(FileNotFoundError, match=r"no\.png does not exist"):
            adapter.predict(images)
