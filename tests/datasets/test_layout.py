"""What the folders of a data set are: parts, classes, or one flat folder."""

import pytest
from PIL import Image

from dacbn.datasets import is_flat_folder, load_labelled, load_unlabelled
from dacbn.datasets.layout import find_parts, split


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 9).save(root / name, format="PNG")


def classes(root, *names, count=4):
    for name in names:
        put(root, *(f"{name}/{number}.png" for number in range(count)))


def read(root, train=True, loader=load_labelled):
    return loader(root, train=train, root=root, size=4)


@pytest.mark.parametrize("test", ["val", "valid", "validation", "test", "testing", "Test", "VAL"])
@pytest.mark.parametrize("train", ["train", "Train", "training"])
def test_parts_are_parts_by_any_of_their_names(tmp_path, train, test):
    classes(tmp_path, f"{train}/ant", f"{train}/bee")
    classes(tmp_path, f"{test}/ant", f"{test}/bee", count=2)
    assert read(tmp_path).classes == ("ant", "bee")
    assert [len(read(tmp_path, part)) for part in (True, False)] == [8, 4]
    assert [len(read(tmp_path, part, load_unlabelled)) for part in (True, False)] == [8, 4]
    assert not is_flat_folder(tmp_path)


def test_test_goes_before_val_unless_it_has_no_classes(tmp_path):
    classes(tmp_path, "train/a", "val/a", "test/a")
    assert find_parts(tmp_path).test == tmp_path / "test"
    classes(tmp_path / "other", "train/a", "val/a", "test")
    assert find_parts(tmp_path / "other").test == tmp_path / "other" / "val"


def test_a_test_part_may_lack_classes(tmp_path):
    classes(tmp_path, "train/a", "train/b", "test/b")
    domain = read(tmp_path, train=False)
    assert domain.classes == ("a", "b") and domain.labels.unique().tolist() == [1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a", "train/b"], r"holds only \['train'\].*add the other part"),
        (["val/a", "test/a"], r"holds only \['test', 'val'\].*add the other part"),
        (["train/a", "val/a", "valid/a"], "val and .*valid are the same part"),
        (["train/a", "Train/a", "test/a"], "are the same part"),
        (["train/a", "test/a", "extra/a"], r"parts or classes, because \['extra'\] lie beside"),
        (["a/train", "a/test", "b/train", "b/test"], r"hold parts, \['test', 'train'\]"),
    ],
)
def test_a_layout_that_cannot_be_told_is_refused(tmp_path, names, message):
    classes(tmp_path, *names)
    for loader in (load_labelled, load_unlabelled):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, True, loader)


def test_domains_taken_for_classes_are_said(tmp_path):
    classes(tmp_path, "amazon/bike", "amazon/mug", "webcam/bike", "webcam/mug")
    with pytest.warns(UserWarning, match="all hold the same folders, bike, mug: these look like"):
        assert read(tmp_path).classes == ("amazon", "webcam")


def test_class_folders_go_before_an_image_beside_them(tmp_path):
    classes(tmp_path, "a", "b", count=20)
    put(tmp_path, "cover.png")
    assert not is_flat_folder(tmp_path)
    for loader in (load_labelled, load_unlabelled):
        with pytest.warns(UserWarning, match=r"1 image lies beside the class folders.*cover\.png"):
            both = len(read(tmp_path, True, loader)) + len(read(tmp_path, False, loader))
        assert both == 40


def test_class_folders_of_parts_go_before_an_image_beside_the_parts(tmp_path):
    classes(tmp_path, "train/a", "train/b", "test/a", "test/b")
    put(tmp_path, "cover.png", "train/stray.png")
    assert not is_flat_folder(tmp_path)
    with pytest.warns(UserWarning, match="left out") as caught:
        assert len(read(tmp_path, True, load_unlabelled)) == 8
    said = " ".join(str(each.message) for each in caught)
    assert "cover.png" in said and "stray.png" in said


@pytest.mark.parametrize("inner", ["old", "images"])
def test_images_above_and_in_a_lone_folder_are_refused(tmp_path, inner):
    put(tmp_path, "1.png", "2.png", f"{inner}/3.png")
    with pytest.raises(ValueError, match="hold images: move one"):
        read(tmp_path, True, load_unlabelled)


def test_files_that_are_no_images_are_counted(tmp_path):
    classes(tmp_path, "a", "b")
    for name in ("a/1.heic", "a/2.heic", "b/notes.txt", "b/.hidden", "b/Thumbs.db"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a")
    for loader in (load_labelled, load_unlabelled):
        with pytest.warns(UserWarning) as caught:
            read(tmp_path, True, loader)
        assert [str(each.message).split(": ")[1] for each in caught] == [
            "2 .heic, 1 links to folders, 1 .txt"
        ]


def test_other_files_in_a_flat_folder_are_counted(tmp_path):
    put(tmp_path, "1.png", "2.png")
    (tmp_path / "3.heic").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"no images that can be read: 1 \.heic"):
        assert len(read(tmp_path, True, load_unlabelled)) == 2


def test_a_folder_of_other_files_says_what_they_are(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.heic").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds no images: .*it has 1 \.heic, which is not read"):
        read(tmp_path)


def test_a_file_keeps_its_part_when_files_are_added(tmp_path):
    few = [tmp_path / "a" / f"{number}.png" for number in range(0, 300, 3)]
    many = [tmp_path / "a" / f"{number}.png" for number in range(300)]
    tested = set(split(many, False, tmp_path))
    assert set(split(few, False, tmp_path)) == tested & set(few)
    assert split(many, True, tmp_path) == [file for file in many if file not in tested]
    assert 40 < len(tested) < 80  # a fifth of 300


def test_the_split_moves_with_the_folder_and_follows_its_seed(tmp_path):
    tests = []
    for root, seed in [(tmp_path, 0), (tmp_path / "moved", 0), (tmp_path, 1)]:
        files = [root / "a" / f"{number}.png" for number in range(100)]
        tests.append([file.name for file in split(files, False, root, seed)])
    assert tests[0] == tests[1] != tests[2]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_each_part_has_an_image_of_a_class_of_two(tmp_path, count):
    for name in "abcdefgh":
        files = [tmp_path / name / f"{number}.png" for number in range(count)]
        parts = [split(files, train, tmp_path) for train in (True, False)]
        assert all(parts) and sorted(parts[0] + parts[1]) == files


def test_one_image_a_class_leaves_nothing_to_test_on(tmp_path):
    classes(tmp_path, "a", "b", count=1)
    assert len(read(tmp_path)) == 2
    with pytest.raises(ValueError, match="leaves nothing to test on, because each class has one"):
        read(tmp_path, train=False)


def test_a_broken_image_in_the_test_part_leaves_the_others(tmp_path):
    classes(tmp_path, "a", "b")
    tested = split([tmp_path / "a" / f"{number}.png" for number in range(4)], False, tmp_path)
    for file in tested:
        file.write_bytes(b"broken")
    with pytest.warns(UserWarning, match="unreadable"):
        test = read(tmp_path, train=False)
    assert test.classes == ("a", "b") and test.labels.unique().tolist() == [1]
    assert 0 in read(tmp_path).labels
