"""Headers of JPEG 2000, of files that Pillow writes."""

import io
import struct

import pytest
from PIL import Image

from dacbn.datasets.decoding import read_picture
from dacbn.datasets.jpeg2000 import CODESTREAM, UP_TO_DEPTH, read_header


def encode(mode, **options):
    buffer = io.BytesIO()
    Image.new(mode, (16, 16)).save(buffer, "JPEG2000", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (encode("L"), (8, False, False, True)),
        (encode("I;16"), (16, False, False, True)),
        (encode("RGB"), (8, False, False, False)),
        (encode("RGBA"), (8, False, True, False)),
        (encode("LA"), (8, False, True, True)),
        (encode("RGBA", no_jp2=True), (8, False, False, False)),
        (encode("L", no_jp2=True), (8, False, False, False)),
    ],
)
def test_what_a_header_declares(content, wanted):
    file = io.BytesIO(content)
    file.seek(5)
    assert read_header(file) == wanted and file.tell() == 5


def test_a_sign_is_seen_and_refused(tmp_path):
    content = bytearray(encode("L"))
    content[content.index(CODESTREAM) + len(CODESTREAM) + UP_TO_DEPTH - 1] |= 128
    assert read_header(io.BytesIO(content)).signed
    (tmp_path / "a.jp2").write_bytes(content)
    with pytest.raises(ValueError, match="signed or 32-bit whole numbers"):
        read_picture(tmp_path / "a.jp2", 8)


def test_long_boxes_are_skipped():
    content = encode("RGBA")
    start = content.index(b"jp2h") - 4
    box = struct.pack(">I4sQ", 1, b"xml ", 16 + 70000) + bytes(70000)
    assert read_header(io.BytesIO(content[:start] + box + content[start:])).alpha


@pytest.mark.parametrize("size", [0, 7])
def test_a_box_without_a_length_is_no_endless_loop(size):
    content = encode("L")
    start = content.index(b"jp2h") - 4
    broken = content[:start] + struct.pack(">I", size) + content[start + 4 :]
    with pytest.raises(ValueError, match="a box of its header has no length"):
        read_header(io.BytesIO(broken))


def test_bands_of_a_codestream_alone_are_no_alpha(tmp_path):
    Image.new("RGBA", (16, 16), (200, 50, 30, 0)).save(tmp_path / "a.j2k")
    read = read_picture(tmp_path / "a.j2k", 8)
    assert read.pixels[:, 4, 4].tolist() == [200, 50, 30]
    assert read.note == "4 bands, of which 3 are read"
