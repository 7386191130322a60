"""Small files in the published formats, so that no published file is needed."""

import bz2
import gzip
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from dacbn.datasets import archives, datasets

RANDOM = np.random.default_rng(0)
ALTERED = "is not the published file"


def pixels_of(domain):
    return domain.images.gather(torch.arange(len(domain))).numpy()


def write_mnist(root, images, labels, compress=True):
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pack, suffix = (gzip.compress, ".gz") if compress else (bytes, "")
    header = struct.pack(">IIII", 2051, len(images), 28, 28)
    (folder / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(header + images.tobytes()))
    header = struct.pack(">II", 2049, len(labels))
    (folder / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(header + labels.tobytes()))


@pytest.fixture
def mnist_arrays():
    return RANDOM.integers(0, 256, (5, 28, 28), dtype=np.uint8), np.array([7, 2, 1, 0, 9], np.uint8)


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
@pytest.mark.parametrize("compress", [True, False])
def test_mnist_is_read_packed_or_unpacked_and_padded(tmp_path, mnist_arrays, compress):
    write_mnist(tmp_path, *mnist_arrays, compress)
    domain = datasets["mnist"](tmp_path, False, False)
    assert domain.labels.tolist() == [7, 2, 1, 0, 9]
    wanted = np.pad(mnist_arrays[0], ((0, 0), (2, 2), (2, 2)))
    assert np.array_equal(pixels_of(domain), np.stack([wanted] * 3, axis=1))


def test_usps_keeps_its_order_polarity_and_scale(tmp_path):
    images = np.where(RANDOM.random((3, 256)) < 0.5, -1.0, 1.0)
    images[0] = 1.0
    lines = [
        f"{label} " + " ".join(f"{i + 1}:{value:.4f}" for i, value in enumerate(image))
        for label, image in zip((1, 10, 4), images, strict=True)
    ]
    (tmp_path / "usps").mkdir()
    (tmp_path / "usps" / "usps.t.bz2").write_bytes(bz2.compress("\n".join(lines).encode()))
    with pytest.warns(UserWarning, match=ALTERED):
        domain = datasets["usps"](tmp_path, False, False)
    assert domain.labels.tolist() == [0, 9, 3]
    full = np.zeros((3, 32, 32), np.uint8)
    full[:, 6:26, 6:26] = 255
    assert np.array_equal(pixels_of(domain)[0], full)


def test_svhn_axes_and_the_ten_that_means_zero(tmp_path):
    images = RANDOM.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    (tmp_path / "svhn").mkdir()
    labels = np.array([[10], [1], [9], [5]], np.uint8)
    savemat(tmp_path / "svhn" / "test_32x32.mat", {"X": images, "y": labels})
    with pytest.warns(UserWarning, match=ALTERED):
        domain = datasets["svhn"](tmp_path, False, False)
    assert domain.labels.tolist() == [0, 1, 9, 5]
    pixels = pixels_of(domain)
    for row, column, channel, n in np.ndindex(*images.shape):
        assert pixels[n, channel, row, column] == images[row, column, channel, n]


def test_mnist_m_reads_its_file(tmp_path):
    images = RANDOM.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    (tmp_path / "mnist_m").mkdir()
    np.savez(
        tmp_path / "mnist_m" / "mnist_m_test9001.npz", x=images, y=np.array([3, 1, 0, 9], np.uint8)
    )
    domain = datasets["mnist_m"](tmp_path, False, False)
    assert np.array_equal(pixels_of(domain), images.transpose(0, 3, 1, 2))
    assert domain.labels.tolist() == [3, 1, 0, 9]


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
@pytest.mark.parametrize("folder", ["mnist_m/textures", "BSR/BSDS500/data/images/train"])
def test_mnist_m_is_made_from_photographs(tmp_path, mnist_arrays, folder):
    write_mnist(tmp_path, *mnist_arrays)
    (tmp_path / folder).mkdir(parents=True)
    colour = np.array([200, 30, 90], np.uint8)
    Image.new("RGB", (481, 321), tuple(colour.tolist())).save(tmp_path / folder / "wall.png")
    domain = datasets["mnist_m"](tmp_path, False, False)
    digits = np.pad(mnist_arrays[0], ((0, 0), (2, 2), (2, 2))).astype(int)[:, None]
    assert np.array_equal(pixels_of(domain), np.abs(colour.astype(int)[:, None, None] - digits))


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
def test_made_mnist_m_crops_differ_and_repeat(tmp_path, mnist_arrays):
    write_mnist(tmp_path, np.zeros((5, 28, 28), np.uint8), mnist_arrays[1])
    (tmp_path / "mnist_m/textures").mkdir(parents=True)
    photograph = RANDOM.integers(0, 256, (320, 320, 3), dtype=np.uint8)
    Image.fromarray(photograph).save(tmp_path / "mnist_m/textures/noise.png")
    pixels = pixels_of(datasets["mnist_m"](tmp_path, False, False))
    assert np.array_equal(pixels, pixels_of(datasets["mnist_m"](tmp_path, False, False)))
    windows = np.lib.stride_tricks.sliding_window_view(photograph, (32, 32), axis=(0, 1))
    corners = {window.tobytes() for window in windows[:, :, :, 0, :3].reshape(-1, 9)}
    assert all(crop[:, 0, :3].tobytes() in corners for crop in pixels)
    assert len({crop.tobytes() for crop in pixels}) == 5


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte.gz"),
        ("usps", "usps/usps.bz2"),
        ("svhn", "svhn/train_32x32.mat"),
    ],
)
def test_a_missing_file_is_named_with_its_source_in_one_line(tmp_path, name, file):
    with pytest.raises(
        FileNotFoundError, match=r"place it there from http.*, or pass download=True$"
    ) as caught:
        datasets[name](tmp_path, True, False)
    assert str(tmp_path / file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mnist", "usps", "svhn"])
def test_a_failed_download_says_where_to_place_the_file(tmp_path, name, monkeypatch):
    def fail(url, root, filename, md5):
        root.mkdir(parents=True, exist_ok=True)
        (root / filename).write_bytes(b"half a file")
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fail)
    with pytest.raises(FileNotFoundError, match=r"could not download .* place it at") as caught:
        datasets[name](tmp_path, True, True)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_download_tries_one_address_after_the_other(tmp_path, monkeypatch):
    tried = []

    def download(url, root, filename, md5):
        tried.append(url)
        if url == "first":
            raise OSError("connection refused")
        (root / filename).write_bytes(b"content")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    path = archives.find_archive(tmp_path / "file", ["first", "second", "third"], "md5", True)
    assert tried == ["first", "second"]
    assert path == tmp_path / "file" and path.read_bytes() == b"content"


def test_mnist_m_without_files_says_both_ways_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="place it there, or place photographs") as caught:
        datasets["mnist_m"](tmp_path, True, False)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "MNIST/raw/t10k-images-idx3-ubyte.gz"),
        ("usps", "usps/usps.t.bz2"),
        ("svhn", "svhn/test_32x32.mat"),
        ("mnist_m", "mnist_m/mnist_m_test9001.npz"),
    ],
)
def test_a_damaged_file_is_named_with_the_cure(tmp_path, name, file):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(b"not what it should be" * 20)
    with pytest.raises(ValueError, match=r"cannot read .*: delete it and fetch it again") as caught:
        datasets[name](tmp_path, False, False)
    assert "\n" not in str(caught.value)


# name: (labels or pixels of the file, what is said)
FAULTS = {
    "svhn": [
        {"y": [50, 1]},
        {"y": [-3, 1]},
        {"y": [np.nan, 1]},
        {"y": [1.7, 1]},
        {"y": [0, 1]},
        {"y": [1]},
        {"X": np.zeros((28, 32, 3, 2), np.uint8)},
        {"X": np.full((32, 32, 3, 2), 255.0)},
        {"X": np.zeros((32, 32, 3, 0), np.uint8), "y": []},
    ],
    "mnist_m": [
        {"y": [0.6, 1]},
        {"y": [10, 1]},
        {"y": [1, 2, 3]},
        {"x": np.zeros((2, 28, 28, 3), np.uint8)},
        {"x": np.full((2, 32, 32, 3), 7.0)},
    ],
}


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
@pytest.mark.parametrize(("name", "row"), [(n, r) for n in FAULTS for r in range(len(FAULTS[n]))])
def test_values_out_of_the_published_range_are_refused_with_the_file(tmp_path, name, row):
    fault = {key: np.array(value) for key, value in FAULTS[name][row].items()}
    path = tmp_path / name / {"svhn": "test_32x32.mat", "mnist_m": "mnist_m_test9001.npz"}[name]
    path.parent.mkdir()
    if name == "svhn":
        savemat(path, {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([10, 1]), **fault})
    else:
        np.savez(path, **{"x": np.zeros((2, 32, 32, 3), np.uint8), "y": np.array([9, 0]), **fault})
    with pytest.raises(ValueError, match="cannot read") as caught:
        datasets[name](tmp_path, False, False)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    if "y" in fault and len(fault["y"]) == 2:
        assert f"label {fault['y'][0]}" in str(caught.value)


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
@pytest.mark.parametrize("value", ["nan", "1e9", "-1.5"])
def test_usps_out_of_range_is_refused(tmp_path, value):
    write_usps(tmp_path, f"3 1:{value} " + " ".join(f"{i}:0" for i in range(2, 257)))
    with pytest.raises(ValueError, match=r"usps\.t\.bz2 \(its pixels do not lie in -1..1\)"):
        datasets["usps"](tmp_path, False, False)


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
@pytest.mark.parametrize(
    "line",
    ["3 2:0 1:0 " + " ".join(f"{i}:0" for i in range(3, 257)), "3 1:0.5", "11 1:0"],
    ids=["order", "few", "label"],
)
def test_usps_of_another_layout_is_refused(tmp_path, line):
    write_usps(tmp_path, line)
    with pytest.raises(ValueError, match=r"cannot read .*usps\.t\.bz2"):
        datasets["usps"](tmp_path, False, False)


def write_usps(root, line):
    (root / "usps").mkdir()
    (root / "usps" / "usps.t.bz2").write_bytes(bz2.compress(line.encode()))


MNIST_HEADERS = {  # of two images: type, sizes
    "32x32": (0x08, (2, 32, 32)),
    "float32": (0x0D, (2, 28, 28)),
    "cut": (0x08, (3, 28, 28)),
    "flat": (0x08, (2 * 28 * 28,)),
}


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
@pytest.mark.parametrize("name", MNIST_HEADERS)
def test_the_header_of_mnist_is_read(tmp_path, mnist_arrays, name):
    kind, sizes = MNIST_HEADERS[name]
    write_mnist(tmp_path, *mnist_arrays, compress=False)
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    header = struct.pack(f">BBBB{len(sizes)}I", 0, 0, kind, len(sizes), *sizes)
    path.write_bytes(header + bytes(2 * 28 * 28 * (4 if kind == 0x0D else 1)))
    with pytest.raises(ValueError, match="cannot read") as caught:
        datasets["mnist"](tmp_path, False, False)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
def test_images_and_labels_of_different_number_name_both_files(tmp_path, mnist_arrays):
    write_mnist(tmp_path, mnist_arrays[0], mnist_arrays[1][:4])
    with pytest.raises(ValueError, match=r"it has 4 labels, and .*images-idx3.* 5 images"):
        datasets["mnist"](tmp_path, False, False)


@pytest.mark.filterwarnings(f"ignore:.*{ALTERED}")
def test_a_label_of_mnist_above_9_is_refused(tmp_path, mnist_arrays):
    write_mnist(tmp_path, mnist_arrays[0], mnist_arrays[1] + 5)
    with pytest.raises(ValueError, match=r"labels-idx1.*label 12 is no whole number from 0 to 9"):
        datasets["mnist"](tmp_path, False, False)
