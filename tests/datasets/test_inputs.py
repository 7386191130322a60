"""Names, folders, arrays, files and domains are converted to domains."""

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets import (
    FileImages,
    LabelledImages,
    UnlabelledImages,
    choose_family,
    is_flat_folder,
    labelled,
    read_files,
    size_of,
    to_labelled,
    to_unlabelled,
    unlabelled,
)

GREY = np.arange(5 * 8 * 8, dtype=np.uint8).reshape(5, 8, 8)
LABELS = [0, 1, 0, 1, 1]


def save(path, value=100, size=(9, 7)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def pixels(images):
    return images.gather(torch.arange(len(images)))


@pytest.mark.parametrize(
    "data",
    [
        GREY,
        torch.from_numpy(GREY),
        GREY / 255,
        GREY[..., None],
        GREY[:, None].repeat(3, 1),
        (GREY, LABELS),
        unlabelled(GREY),
        labelled(GREY, LABELS),
    ],
    ids=["grey", "tensor", "float", "last", "rgb", "pair", "unlabelled", "labelled"],
)
def test_every_kind_of_images_gives_the_same_domain(data):
    domain = to_unlabelled(data, 8, train=True)
    assert isinstance(domain, UnlabelledImages)
    assert torch.equal(pixels(domain.images), torch.from_numpy(GREY)[:, None].expand(5, 3, 8, 8))
    assert size_of(data) == 8


def test_names_and_folders_are_read(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        save(tmp_path / name)
    for loader in (to_labelled, to_unlabelled):
        assert len(loader("digits", 8, train=False, root=tmp_path)) == 297
        assert len(loader(str(tmp_path), 8, train=True, root=tmp_path)) == 2
        assert loader(tmp_path, 8, train=True, root=tmp_path).images.size == 8


@pytest.mark.parametrize("data", [(GREY, LABELS), labelled(GREY, LABELS), unlabelled(GREY)])
def test_images_of_another_size_are_resized(data):
    assert to_unlabelled(data, 12, train=True).images.size == 12


def test_a_pair_is_labelled_and_keeps_names():
    domain = to_labelled((GREY, ["cat", "dog", "cat", "dog", "dog"]), 8, train=True)
    assert domain.classes == ("cat", "dog") and domain.labels.tolist() == LABELS


def test_few_labels_take_the_classes_they_are_meant_for():
    classes = ("0", "1", "2")
    assert to_labelled((GREY, LABELS), 8, train=False, classes=classes).classes == classes
    names = ["1"] * 5
    assert to_labelled((GREY, names), 8, False, classes).labels.tolist() == [1] * 5
    with pytest.raises(ValueError, match=r"labels \['1'\] are not among the classes \('0',\)"):
        to_labelled((GREY, LABELS), 8, False, ("0",))


def test_labelled_images_keep_their_labels_when_resized():
    domain = to_labelled(labelled(GREY, LABELS), 12, train=True)
    assert isinstance(domain, LabelledImages) and domain.labels.tolist() == LABELS


def test_images_in_files_are_not_read_to_be_resized(tmp_path):
    files = FileImages((save(tmp_path / "1.png"),), 8, "pad")
    resized = to_unlabelled(UnlabelledImages(files), 16, train=True).images
    assert isinstance(resized, FileImages) and (resized.size, resized.fit) == (16, "pad")


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_files_is_read_in_its_order(tmp_path, kind):
    files = kind([save(tmp_path / "2.png", 20), str(save(tmp_path / "1.png", 10))])
    domain = to_unlabelled(files, 4, train=False)
    assert pixels(domain.images)[:, 0, 0, 0].tolist() == [20, 10]
    assert size_of(files) == 224


@pytest.mark.parametrize("train", [True, False])
def test_a_broken_file_of_a_list_is_skipped_or_refused_by_choice(tmp_path, train):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    files = [save(tmp_path / "1.png"), broken]
    with pytest.warns(UserWarning, match=r"1 image is unreadable: .*broken\.png"):
        assert len(to_unlabelled(files, 4, train=train)) == 1
    with pytest.raises(ValueError, match="unreadable"):
        to_unlabelled(files, 4, train=train, on_unreadable="raise")


@pytest.mark.parametrize("data", [5, None, range(3)])
def test_what_is_no_images_is_refused_with_what_is(data):
    with pytest.raises(ValueError, match=f"images from {type(data).__name__}: pass a dataset's"):
        to_unlabelled(data, 8, train=True)


@pytest.mark.parametrize("data", [GREY, unlabelled(GREY), ["a.png"]])
def test_what_has_no_labels_is_refused_as_labelled(data):
    with pytest.raises(ValueError, match="cannot take labelled images from"):
        to_labelled(data, 8, train=True)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        *(((5, 28, 28), 28), ((5, 3, 20, 30), 20), ((5, 20, 30, 3), 20), ((5, 1, 9, 9), 9)),
        *(((20, 30, 3), 20), ((3, 20, 30), 20), ((7,), 224), ((), 224), ((7, 5), 224)),
    ],
)
def test_the_size_of_an_array_is_that_of_its_images(shape, size):
    assert size_of(np.zeros(shape)) == size_of((np.zeros(shape), [])) == size


def test_only_folders_are_taken_to_show_what_may_be_mirrored(tmp_path):
    assert choose_family(tmp_path, str(tmp_path)) == "photos"
    assert choose_family(tmp_path, "digits") == "digits"
    assert choose_family(GREY, tmp_path) == "digits"


def test_files_and_folders_are_read_with_their_paths(tmp_path):
    first, second = save(tmp_path / "z.png", 10), save(tmp_path / "sub" / "deep" / "a.jpg", 200)
    domain, paths = read_files([first, tmp_path / "sub"], 4)
    assert paths == [first, second]
    assert pixels(domain.images)[0, 0, 0, 0] == 10


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_paths_of_skipped_files_are_left_out(tmp_path):
    good, bad = save(tmp_path / "1.png"), tmp_path / "2.png"
    bad.write_bytes(good.read_bytes()[:20])
    domain, paths = read_files([tmp_path], 4)
    assert paths == [good] and len(domain) == 1


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.png does not exist: give image files"):
        read_files([tmp_path / "no.png"], 4)
    with pytest.raises(ValueError, match="holds no images"):
        read_files([tmp_path], 4)


def test_a_flat_folder_is_one_with_images_in_it(tmp_path):
    save(tmp_path / "classes" / "a" / "1.png")
    flat = save(tmp_path / "flat" / "1.png").parent
    assert is_flat_folder(flat) and is_flat_folder(str(flat))
    assert not is_flat_folder(tmp_path / "classes")
    assert not is_flat_folder("digits") and not is_flat_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("names", [("train/1.png", "test/2.png"), ("images/1.png", "images/2.png")])
def test_a_flat_folder_may_have_parts(tmp_path, names):
    for name in names:
        save(tmp_path / name)
    assert is_flat_folder(tmp_path)
    domain = to_unlabelled(tmp_path, 8, train=True, root=tmp_path)
    assert len(domain) == sum("test" not in name for name in names)


def test_a_target_may_lack_classes_but_not_have_others(tmp_path):
    for name in ("bee", "cow"):
        for number in range(3):
            save(tmp_path / name / f"{number}.png")
    known = ("ant", "bee", "cow")
    from_folder = to_labelled(tmp_path, 8, False, known, root=tmp_path)
    assert from_folder.classes == known and from_folder.labels.unique().tolist() == [1, 2]
    domain = labelled(GREY, ["cow", "bee", "cow", "cow", "cow"])
    assert to_labelled(domain, 8, False, known).labels.tolist() == [2, 1, 2, 2, 2]
    with pytest.raises(ValueError, match=r"lacks: \['cow'\] \(did you mean 'Cow' by 'cow'"):
        to_labelled(tmp_path, 8, False, ("ant", "bee", "Cow"), root=tmp_path)


@pytest.mark.parametrize("kind", ["pair", "domain", "folder"])
def test_one_class_is_no_source_but_may_be_scored(tmp_path, kind):
    for number in range(3):
        save(tmp_path / "b" / f"{number}.png")
    pair = (GREY, ["b"] * 5)
    data = {"pair": pair, "domain": labelled(*pair), "folder": tmp_path}[kind]
    root = {"root": tmp_path} if kind == "folder" else {}
    with pytest.raises(ValueError, match="has only one class, 'b': add another"):
        to_labelled(data, 8, train=True, **root)
    assert to_labelled(data, 8, False, ("a", "b"), **root).labels.unique().tolist() == [1]


class Container:
    """What h5py's and zarr's arrays offer."""

    shape = GREY.shape

    def __array__(self, dtype=None, copy=None):
        return GREY


def test_other_arrays_and_pictures_are_read():
    assert torch.equal(pixels(to_unlabelled(Container(), 8, True).images)[:, 0], torch.tensor(GREY))
    assert to_labelled((Container(), LABELS), 8, True).labels.tolist() == LABELS
    assert size_of(Container()) == 8
    pictures = [Image.fromarray(image) for image in GREY]
    for data in (pictures, (pictures, LABELS)):
        read = to_unlabelled(data, 8, train=True).images
        assert torch.equal(pixels(read)[:, 0], torch.from_numpy(GREY))
    assert to_labelled((pictures, LABELS), 8, train=True).labels.tolist() == LABELS


def test_the_mask_of_images_is_not_dropped():
    masked = np.ma.array(GREY, mask=GREY == 7)
    with pytest.raises(ValueError, match="values of the images are masked"):
        to_unlabelled(masked, 8, train=True)
