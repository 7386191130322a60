"""A column of splits decides what is trained on and what is tested."""

import csv

import pytest
from PIL import Image

from dacbn.datasets import expand, load_labelled, load_unlabelled
from dacbn.datasets.listing import list_folder

COUNT = 12


@pytest.fixture
def place(tmp_path):
    for value in range(COUNT):
        Image.new("L", (4, 4), value).save(tmp_path / f"{value}.png")
    return tmp_path


def write(place, parts, domains=None, name="split"):
    header = ["img_filename", "y", name, "site"]
    with (place / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number, part in enumerate(parts):
            domain = domains[number] if domains else "a"
            writer.writerow([f"{number}.png", number % 2, part, domain])
    return place / "metadata.csv"


def numbers(path, train, **options):
    return sorted(int(file.stem) for file in list_folder(path, train, **options)[0])


@pytest.mark.parametrize(
    "words",
    [
        ("train", "val", "test"),
        ("Training", "validation", "Testing"),
        ("0", "1", "2"),  # WILDS' Waterbirds and CelebA's list of partitions
        ("train", "id_val", "id_test"),
    ],
)
@pytest.mark.parametrize("name", ["split", "subset", "Partition"])
def test_test_rows_are_tested_and_validation_rows_are_left(place, words, name):
    path = write(place, [words[0]] * 6 + [words[1]] * 2 + [words[2]] * 4, name=name)
    assert numbers(path, True) == list(range(6)) and numbers(path, False) == list(range(8, 12))
    domain = load_labelled(path, train=False, root=place, size=4)
    assert domain.classes == ("0", "1") and len(domain) == 4
    assert len(load_unlabelled(path, train=True, root=place, size=4)) == 6


def test_validation_rows_are_tested_where_there_are_no_others(place):
    path = write(place, ["train"] * 8 + ["val"] * 4)
    assert numbers(path, False) == list(range(8, 12))
    assert numbers(path, False, trained_on=[path]) == list(range(8, 12))


def test_a_domain_that_lies_in_one_part_is_split_as_one_without_parts(place):
    """WILDS holds whole domains out."""
    path = write(place, ["0"] * 6 + ["2"] * 3 + ["1"] * 3, ["a"] * 6 + ["b"] * 6)
    for domain, expected in {"a": range(6), "b": range(6, 12)}.items():
        address = place / f"metadata.csv:{domain}"
        parts = [numbers(address, train) for train in (True, False)]
        assert sorted(parts[0] + parts[1]) == list(expected) and all(parts)
    assert numbers(path, True) == list(range(6)) and numbers(path, False) == [6, 7, 8]


def test_parts_of_rows_without_labels_are_kept_apart(place):
    path = write(place, ["train"] * 8 + ["test"] * 4)
    options = {"columns": ("label=",)}
    assert numbers(path, True, **options) == list(range(8))
    assert numbers(path, False, **options) == list(range(8, 12))


def test_a_class_that_is_only_tested_is_refused(place):
    path = write(place, ["train", "test"] * 6)
    with pytest.raises(ValueError, match=r"classes in its part test that its part train lacks: "):
        list_folder(path, False)


def test_numbers_are_read_by_the_whole_table_and_not_by_a_domain(place):
    write(place, ["0", "0", "1", "1"] + ["2"] * 8, ["a"] * 4 + ["b"] * 8)
    assert numbers(place / "metadata.csv:a", True) == [0, 1]
    assert numbers(place / "metadata.csv:a", False) == [2, 3]


def test_the_metadata_of_waterbirds_are_read(place):
    """As WILDS ships them: numbers for classes, parts and places."""
    header = ["img_id", "img_filename", "y", "split", "place", "place_filename"]
    rows = [[n, f"{n}.png", n % 2, n // 4, n // 2 % 2, f"/o/{n}.jpg"] for n in range(COUNT)]
    with (place / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    columns = ("domain=place",)
    path = place / "metadata.csv"
    assert expand(path) == (str(path),)
    assert expand(path, columns) == (f"{path}:0", f"{path}:1")
    assert numbers(path, True) == [0, 1, 2, 3] and numbers(path, False) == [8, 9, 10, 11]
    assert numbers(place / "metadata.csv:1", False, columns=columns) == [10, 11]
