"""Tables with named columns: paths, labels, domains and parts, as other tools write them."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets import (
    expand,
    folders_among,
    is_flat_folder,
    list_images,
    load_labelled,
    load_sample,
    load_unlabelled,
    natural_size,
    read_every,
    view_family,
)
from dacbn.datasets.listing import list_folder
from dacbn.datasets.tables import read_table

COUNT = 24
NAMES = [f"pictures/my {number}.png" for number in range(COUNT)]
LABELS = ["NA", "null", "007"] * 8
DOMAINS = ["webcam"] * 8 + ["amazon"] * 16
HEADER = ["path", "label", "domain"]
ROWS = list(zip(NAMES, LABELS, DOMAINS, strict=True))


@pytest.fixture
def place(tmp_path):
    (tmp_path / "pictures").mkdir()
    for value, name in enumerate(NAMES):
        Image.new("L", (4, 4), value).save(tmp_path / name)
    return tmp_path


def write(path, rows, header=HEADER, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows] if header else rows)
    return path


def write_parquet(path, rows, header=HEADER):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dacbn[parquet]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = zip(*rows, strict=True)
    parquet.write_table(pyarrow.table(dict(zip(header, map(list, columns), strict=True))), path)
    return path


WRITERS = {
    "t.csv": write,
    "t.tsv": lambda path, rows: write(path, rows, delimiter="\t"),
    "t.parquet": write_parquet,
}


def values_of(domain):
    return domain.images.gather(torch.arange(len(domain)))[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_holds_domains_that_have_addresses(place, name):
    path = WRITERS[name](place / name, ROWS)
    addresses = expand(path)
    assert addresses == (f"{path}:amazon", f"{path}:webcam") == expand(str(path))
    for address, expected in zip(addresses, (range(8, 24), range(8)), strict=True):
        values = []
        for train in (True, False):
            domain = load_labelled(address, train=train, root=place, size=4)
            assert domain.classes == ("007", "NA", "null")  # names, sorted, and no codes
            labels = [domain.classes[label] for label in domain.labels.tolist()]
            assert labels == [LABELS[value] for value in values_of(domain)]
            values += values_of(domain)
            assert values_of(load_unlabelled(address, train=train, root=place, size=4)) == (
                values_of(domain)
            )
            assert len(load_sample(address, 3, train=train, root=place, size=4)) == 3
            assert len(list_folder(folders_among(address)[0], train)[0]) == len(domain)
        assert sorted(values) == list(expected)
        assert list_images(address) == [place / NAMES[value] for value in expected]
        assert len(read_every(address, 4).images) == len(expected)
        assert natural_size(address) == 224 and view_family(address) == "photos"
        assert not is_flat_folder(address) and expand(address) == (address,)


def test_an_address_needs_no_separator_and_a_path_that_exists_goes_first(place, monkeypatch):
    monkeypatch.chdir(place)
    write(place / "t.csv", ROWS)
    assert len(load_labelled("t.csv:webcam", train=True, root=place, size=4)) < 8
    (place / "t.csv:webcam").mkdir()
    for name in ("a", "b"):
        (place / "t.csv:webcam" / name).mkdir()
        for number in range(9):
            Image.new("L", (4, 4)).save(place / "t.csv:webcam" / name / f"{number}.png")
    assert load_labelled("t.csv:webcam", train=True, root=place, size=4).classes == ("a", "b")


def test_domains_may_have_colons_and_one_domain_or_none_has_no_address(place):
    rows = [(name, label, f"a:{number % 2}") for number, (name, label, _) in enumerate(ROWS)]
    path = write(place / "t.csv", rows)
    assert expand(path) == (f"{path}:a:0", f"{path}:a:1")
    assert len(list_images(f"{path}:a:1")) == 12
    assert expand(write(path, [row[:2] for row in rows], HEADER[:2])) == (str(path),)
    assert expand(write(path, [(*row[:2], "same") for row in rows])) == (str(path),)
    assert expand(place) == (str(place),) and expand("digits") == ("digits",)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (["Image Path", "CLASS", "Site"], ()),
        (["img_filename", "y", "environment"], ()),
        (["file", "species", "camera"], ("label=species", "domain=camera")),
        (["file", "label", "y"], ("label=label", "domain=y")),
        (["file", "species", "camera"], ("label=class", "label=species", "domain=camera")),
    ],
)
def test_columns_are_recognised_or_named(place, header, columns):
    path = write(place / "t.csv", ROWS, header)
    rows = read_table(path, columns)
    assert (rows.labels, rows.domains) == (LABELS, DOMAINS)
    assert expand(path, columns) == (f"{path}:amazon", f"{path}:webcam")
    domain = load_labelled(f"{path}:amazon", train=True, root=place, size=4, columns=columns)
    assert len(domain.classes) == 3


def test_a_column_can_be_left_out(place):
    header = ["path", "label", "source"]
    path = write(place / "t.csv", [(*row[:2], f"https://x/{row[0]}") for row in ROWS], header)
    assert len(expand(path)) == COUNT
    assert expand(path, ["domain="]) == (str(path),)
    assert is_flat_folder(path, ["label=", "domain="])


def test_an_index_that_pandas_writes_is_no_path(place):
    rows = [(number, label, name) for number, (name, label, _) in enumerate(ROWS)]
    assert read_table(write(place / "t.csv", rows, ["", "label", "path"])).labels == LABELS


def test_two_columns_are_a_path_and_a_label_whatever_the_second_is_called(place):
    rows = [row[:2] for row in ROWS]
    for header in (["file", "species"], ["picture", "species"], None):
        assert read_table(write(place / "t.csv", rows, header)).labels == LABELS
    backwards = [row[::-1] for row in rows]
    assert read_table(write(place / "t.csv", backwards, ["species", "file"])).labels == LABELS


def test_a_target_without_labels_lies_beside_a_source_with_them(place):
    rows = [(name, label * (domain == "amazon"), domain) for name, label, domain in ROWS]
    path = write(place / "t.csv", rows)
    assert not is_flat_folder(f"{path}:amazon") and is_flat_folder(f"{path}:webcam")
    assert len(load_unlabelled(f"{path}:webcam", train=True, root=place, size=4)) == 8
    with pytest.raises(ValueError, match=r"webcam lists no labels: .*columns=\('label=NAME',\)"):
        load_labelled(f"{path}:webcam", train=True, root=place, size=4)
    with pytest.raises(ValueError, match="8 lines without a label: add them, or remove"):
        read_table(path)


def test_a_domain_is_tested_whole_without_what_was_trained_on(place):
    path = write(place / "t.csv", ROWS)
    seen = list_folder(place / "t.csv:amazon", True)[0]
    whole = list_folder(path, False, trained_on=[place / "t.csv:amazon"])[0]
    assert sorted(whole) == sorted(set(list_images(path)) - set(seen))
    other = list_folder(place / "t.csv:webcam", False, trained_on=[place / "t.csv:amazon"])[0]
    assert sorted(other) == sorted(list_images(f"{path}:webcam"))


FAULTS = {
    "path,label\n": "has a header and no rows",
    "": "lists no images",
    "id,label,size\n1,a,3\n2,b,3\n": "has no column of a path among id, label, size: name it by "
    "columns=('path=NAME',)",
    f"path,class,label\n{NAMES[0]},a,b\n": "has several columns of a label, class, label: "
    "columns=('label=class',)",
    f"path,label,label\n{NAMES[0]},a,b\n": "has several columns of a label, label, label: rename",
    f"path,label\n{NAMES[0]},a\nnone.png,b\n": "1 of 2 files of ",
    f"path,label\n{NAMES[0]},a\n{NAMES[0]},b\n": "lists 1 of its files twice, the first is",
    f"path,label\n{NAMES[0]},a\n,b\n": "has 1 lines without a path",
    f"path,label\n{NAMES[0]},a\n{NAMES[1]},\n": "has 1 lines without a label",
    f"path,label,domain\n{NAMES[0]},a,\n{NAMES[1]},b,x\n": "has 1 lines without a domain",
    f"path,label\n{NAMES[0]},a,b\n": "has 3 fields in the line of 'pictures/my 0.png', and 2 in",
    f'path,label\n"{NAMES[0]},a\n': "cannot read line 2",
    f"path,label,split\n{NAMES[0]},a,train\n{NAMES[1]},b,tset\n": "cannot tell what 'tset' in "
    "column 'split'",
    f"path,label,split\n{NAMES[0]},a,0\n{NAMES[1]},b,1\n": "cannot tell what '0', '1' in column",
    f"path,label,fold\n{NAMES[0]},a,0\n{NAMES[1]},b,1\n{NAMES[2]},b,2\n": "'fold'",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_table_with_faults_is_refused_in_one_line(place, text):
    path = place / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        read_table(path)
    assert FAULTS[text] in str(caught.value) and "\n" not in str(caught.value)


def test_addresses_and_columns_that_do_not_exist_are_named(place):
    path = write(place / "t.csv", ROWS)
    for columns, message in {
        ("label=kind",): "has no column 'kind', which columns names as that of a label: its columns"
        " are path, label, domain",
        ("kind=label",): "columns takes ROLE=NAME, with a role of path, label, domain, split, got",
        ("label",): "got 'label'",
    }.items():
        with pytest.raises(ValueError) as caught:
            read_table(path, columns)
        assert message in str(caught.value)
    with pytest.raises(ValueError, match="has no domain 'dslr': its domains are amazon, webcam"):
        list_images(f"{path}:dslr")
    write(path, [row[:2] for row in ROWS], HEADER[:2])
    with pytest.raises(ValueError, match="has no column of domains, so none is 'amazon'"):
        list_images(f"{path}:amazon")
    with pytest.raises(FileNotFoundError, match=r"none\.csv does not exist"):
        load_labelled(place / "none.csv", train=True, root=place)


def test_it_is_said_what_was_seen(place, caplog):
    caplog.set_level("INFO")
    path = write(place / "t.csv", ROWS)
    expand(path)
    load_labelled(f"{path}:amazon", train=True, root=place, size=4)
    load_unlabelled(place / "pictures", train=True, root=place, size=4)
    load_labelled(f"{path}:amazon", train=False, root=place, size=4)
    assert [line.removeprefix(f"{place}/") for line in caplog.messages] == [
        "t.csv: 24 images, 3 classes, domains amazon, webcam",
        "t.csv:amazon: 13 images to train on, 3 classes",
        "pictures: 24 images to train on",
    ]


def test_a_list_may_be_in_a_folder_beside_the_images(place):
    """As tllib ships those of Office-Home: image_list/Art.txt lists Art/Alarm_Clock/1.jpg."""
    (place / "lists").mkdir()
    path = place / "lists" / "art.txt"
    path.write_text("\n".join(f"{name} {label}" for name, label, _ in ROWS))
    assert read_table(path).files == [place / name for name in NAMES]
    parts = [list_folder(path, train)[0] for train in (True, False)]
    (place / "art.txt").write_text(path.read_text())
    assert parts == [list_folder(place / "art.txt", train)[0] for train in (True, False)]


def test_paths_and_labels_of_lists_may_have_spaces_and_quotes(place):
    path = place / "list.txt"
    for line in (f'"{NAMES[0]}" 3', f"{NAMES[0]} 3", f'{NAMES[0]}   "3"', f'"{NAMES[0]}"\t"3"'):
        path.write_text(line)
        rows = read_table(path)
        assert rows.files == [place / NAMES[0]] and rows.labels == ["3"]
    path.write_text(f'{NAMES[0]} "tennis ball"\n"{NAMES[1]}" NA\n')
    assert read_table(path).labels == ["tennis ball", "NA"]
    path.write_text(f'"{NAMES[0]}"\n"{NAMES[1]}"\n')
    assert read_table(path).labels is None


def test_numbers_stay_text_in_every_format(place):
    rows = [(name, f"{number:03}", "d") for number, name in enumerate(NAMES)]
    for name, writer in WRITERS.items():
        assert read_table(writer(place / name, rows)).labels == [f"{n:03}" for n in range(COUNT)]
    assert np.all(read_table(place / "t.csv").domains == np.array(["d"] * COUNT))
