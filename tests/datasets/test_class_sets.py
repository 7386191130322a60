"""Classes of a target: some of the source's, or by choice unknown ones too."""

import logging
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets import labelled, log_class_set, match_classes, to_labelled, with_unknown
from dacbn.datasets.class_sets import ask_about_names, check_known_classes, check_one_class_set
from dacbn.datasets.labels import number_open_labels
from dacbn.spelling import as_option, spelling

PIXELS = np.zeros((5, 8, 8), np.uint8)
KNOWN = ("ant", "desk lamp", "emu")


def write_folder(folder, classes):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8)).save(folder / name / f"{number}.png")


def write_list(folder, classes):
    write_folder(folder, classes)
    files = sorted(folder.glob("*/*.png"))
    lines = [f"{file} {classes.index(file.parent.name)}" for file in files]
    (folder / "list.txt").write_text("\n".join(lines))
    return folder / "list.txt"


@pytest.mark.parametrize("kind", ["folder", "arrays", "pictures", "domain"])
def test_all_classes_that_the_source_lacks_are_one(tmp_path, kind):
    names = ["emu", "fox", "ant", "gnu", "fox"]
    if kind == "folder":
        write_folder(tmp_path, sorted({*names}))
        data = tmp_path
    elif kind == "pictures":
        data = ([Image.new("L", (8, 8))] * 5, names)
    else:
        data = (PIXELS, names) if kind == "arrays" else labelled(PIXELS, names)
    domain = to_labelled(data, 8, False, KNOWN, unknown=True, root=tmp_path)
    assert domain.classes == (*KNOWN, "unknown")
    if kind == "folder":
        assert domain.labels.unique().tolist() == [0, 2, 3]
    else:
        assert domain.labels.tolist() == [2, 3, 0, 3, 3]


@pytest.mark.parametrize(
    ("labels", "classes", "wanted"),
    [
        ([0, 1, 7, 9], ("0", "1"), [0, 1, 2, 2]),
        ([7, 8, 9, 7], ("7", "9"), [0, 2, 1, 0]),
        ([0, 1, 2, 5], ("ant", "bee"), [0, 1, 2, 2]),
        (["bee", "unknown", "cow"], ("ant", "bee"), [1, 2, 2]),
        (["x", "y"], ("ant", "bee"), [2, 2]),
    ],
)
def test_labels_after_the_classes_are_unknown(labels, classes, wanted):
    positions, names = number_open_labels(labels, classes)
    assert positions.tolist() == wanted and names == (*classes, "unknown")


@pytest.mark.parametrize("labels", [[0, 1, 255], [0, -1], ["a", None]])
def test_labels_that_mark_no_class_are_not_unknown_images(labels):
    with pytest.raises(ValueError, match="leave these images out"):
        number_open_labels(labels, ("0", "1"))


def test_a_list_with_classes_that_the_source_lacks(tmp_path):
    listed = write_list(tmp_path / "a", ["0", "1", "2", "3"])
    domain = to_labelled(listed, 8, False, ("0", "1"), unknown=True, root=tmp_path)
    assert domain.labels.unique().tolist() == [0, 1, 2]


def test_without_the_choice_they_are_refused_with_a_question_and_the_cure():
    with spelling(as_option), pytest.raises(ValueError, match="--unknown") as caught:
        check_known_classes(KNOWN, ["ant", "desk_lamp", "Emu", "fox"])
    text = str(caught.value)
    assert "lacks: ['desk_lamp', 'Emu', 'fox'] (did you mean 'desk lamp' by 'desk_lamp'" in text
    assert "and 'emu' by 'Emu'? rename one)" in text and "fox'?" not in text
    assert "\n" not in text
    with pytest.raises(ValueError, match=r"did you mean 'emu' by 'emus'.*unknown=True"):
        to_labelled((PIXELS[:2], ["ant", "emus"]), 8, False, KNOWN)


def test_near_names_of_sources_are_asked_about():
    with pytest.raises(ValueError, match=r"adds \['desk-lamp'\] \(did you mean 'desk lamp'"):
        check_one_class_set("a", KNOWN, "b", ("ant", "desk-lamp", "emu"))


@pytest.mark.parametrize("extra", ["fox", "12", "7"])
def test_names_that_are_like_no_other_and_numbers_are_not_asked_about(extra):
    assert ask_about_names([extra], [*KNOWN, "1", "2", "70"]) == ""


def test_a_near_name_among_the_unknown_is_a_warning():
    with pytest.warns(UserWarning, match=r"unknown: \['desk_lamp'\] \(did you mean 'desk lamp'"):
        match_classes(labelled(PIXELS[:2], ["ant", "desk_lamp"]), KNOWN, unknown=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        match_classes(labelled(PIXELS[:2], ["ant", "fox"]), KNOWN, unknown=True)


def test_a_source_with_a_class_of_that_name_is_refused():
    with pytest.raises(ValueError, match=r"a class named 'unknown'.*rename it"):
        with_unknown(("ant", "unknown"))


def test_the_log_says_how_many_classes_there_are(caplog):
    caplog.set_level(logging.INFO, "dacbn")
    domain = labelled(PIXELS, ["ant", "ant", "emu", "fox", "gnu"])
    log_class_set("target test web", match_classes(domain, KNOWN, unknown=True), KNOWN)
    log_class_set("other", labelled(PIXELS[:3], list(KNOWN)), KNOWN)
    assert caplog.messages == [
        "target test web has 2 of the 3 classes, and 2 images of unknown classes"
    ]


def test_a_target_without_unknown_images_keeps_its_labels():
    domain = labelled(PIXELS[:3], list(KNOWN))
    assert torch.equal(match_classes(domain, KNOWN, unknown=True).labels, domain.labels)
