"""Galleries: which images are shown, in which order, with what is said of them."""

import io

import numpy as np
import pytest
from PIL import Image
from planted_answers import answers, images, subject_of

from dacbn.analysis.observe.subject import Sample
from dacbn.analysis.predictions import gallery
from dacbn.analysis.predictions.changes import draw_changes, draw_changes_of_runs
from dacbn.analysis.predictions.gallery import draw_gallery
from dacbn.analysis.predictions.mistakes import draw_mistakes
from dacbn.analysis.presentation.pictures import encode_images

CLASSES = ("cup", "pen", "mug")
SOURCE = answers([[1, 0, 0]], [0])
TARGET = answers([[0.6, 0.3, 0.1], [0.9, 0.1, 0], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])


def names_of(section, place=0):
    return {
        words: [each.name for each in pictures] for words, pictures in section.galleries[place].rows
    }


def test_images_are_shown_by_predicted_class_the_surest_first(monkeypatch):
    monkeypatch.setattr(gallery, "MOST", 2)
    outputs = {"source": SOURCE, "target": TARGET}
    (section,) = draw_gallery(
        subject_of(outputs, CLASSES, ("a.png", "b.png", "c.png", "d.png")), outputs
    )
    assert [each.title for each in section.galleries] == [
        "cup: 3 images, mean probability 0.73",
        "pen: 1 image, mean probability 0.80",
    ]
    assert names_of(section) == {"surest": ["b.png", "c.png"], "least sure": ["a.png"]}
    assert section.galleries[0].rows[0][1][0].lines == ("cup: 0.90", "pen: 0.10")
    assert "No image is predicted as mug." in section.findings
    assert not any(each.wrong for _, row in section.galleries[0].rows for each in row)


def test_every_target_has_a_gallery_and_a_source_alone_has_none():
    outputs = {"source": SOURCE, "target one": TARGET, "target two": TARGET}
    titles = [each.title for each in draw_gallery(subject_of(outputs, CLASSES), outputs)]
    assert titles == [f"Target {name} images by predicted class" for name in ("one", "two")]
    with pytest.raises(ValueError, match="there is no target"):
        draw_gallery(subject_of({"source": SOURCE}, CLASSES), {"source": SOURCE})


def test_pictures_of_many_classes_are_few_and_folded():
    count = 200
    shares = np.eye(count).repeat(20, 0)
    output = answers(shares)
    outputs = {"target": output}
    (section,) = draw_gallery(subject_of(outputs, [str(n) for n in range(count)]), outputs)
    shown = sum(len(row) for each in section.galleries for _, row in each.rows)
    assert shown <= gallery.MAX_PICTURES and len(section.galleries) == gallery.MAX_CLASSES
    assert all(each.folded for each in section.galleries)


def test_the_surest_mistakes_come_first_and_pairs_are_counted():
    output = answers(TARGET.probabilities, [1, 0, 1, 1])
    outputs = {"source": SOURCE, "target": output}
    (section,) = draw_mistakes(subject_of(outputs, CLASSES), outputs)
    assert names_of(section) == {"": ["image 2", "image 0"]}
    assert section.galleries[0].rows[0][1][0].wrong
    assert section.galleries[0].rows[0][1][0].lines[-1] == "label: pen"
    assert section.galleries[1].title == "pen predicted as cup: 2"
    assert section.findings == (
        "2 of 4 images are wrong (50.0%), most often pen predicted as cup (2).",
    )
    right = answers(TARGET.probabilities, [0, 0, 0, 1])
    (section,) = draw_mistakes(subject_of({"target": right}, CLASSES), {"target": right})
    assert section.findings == ("All of 4 images are right.",)
    with pytest.raises(ValueError, match="no target has labels"):
        draw_mistakes(subject_of({"target": TARGET}, CLASSES), {"target": TARGET})


def test_changed_answers_are_sorted_by_whether_they_were_and_are_right():
    before = answers([[0.6, 0.4], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]], [1, 0, 1, 0])
    after = answers([[0.4, 0.6], [0.1, 0.9], [0.2, 0.8], [0.8, 0.2]], [1, 0, 1, 0])
    subject = subject_of({"target": after}, ("cup", "pen"))
    (section,) = draw_changes(subject, {"target": after}, ("runs/old", {"target": before}))
    assert [each.title for each in section.galleries] == ["now right: 1", "now wrong: 1"]
    assert names_of(section) == {"": ["image 0"]}
    picture = section.galleries[1].rows[0][1][0]
    assert picture.name == "image 1" and picture.wrong
    assert picture.lines == ("was cup: 0.60", "now pen: 0.90", "label: cup")
    assert section.findings == (
        "2 of 4 answers differ from those of runs/old; now right: 1, now wrong: 1, "
        "wrong as before: 0.",
    )
    unlabelled = {"target": answers(after.probabilities)}
    (section,) = draw_changes(
        subject, unlabelled, ("old", {"target": answers(before.probabilities)})
    )
    assert names_of(section) == {"": ["image 1", "image 0"]}
    runs = {"old": {"target": before}, "new": {"target": after}}
    (section,) = draw_changes_of_runs({"old": subject, "new": subject}, runs)
    assert section.findings[0].startswith("2 of 4 answers differ from those of old")
    with pytest.raises(ValueError, match="for two runs"):
        draw_changes_of_runs({}, {"old": {}})


def test_thumbnails_keep_the_picture_and_are_small():
    sample = Sample(images(3, size=200), 0)
    first, second = encode_images(sample, [2, 0])
    shown = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    assert shown.shape == (96, 96, 3) and abs(shown.astype(int) - 20).max() <= 3
    assert abs(np.asarray(Image.open(io.BytesIO(second)).convert("RGB")).astype(int)).max() <= 3
    assert encode_images(sample, []) == []
