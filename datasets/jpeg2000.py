"""What a JPEG 2000 file declares about its pixels, which Pillow does not say.

Source: ISO/IEC 15444-1, annexes A.5.1 (the marker SIZ) and I.5 (boxes).
"""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

CODESTREAM = b"\xff\x4f\xff\x51"  # its first two markers, SOC and SIZ
UP_TO_DEPTH = 39  # bytes of SIZ after its marker; the last has the bits, less 1, and the sign
SIGNED = 128
GREY = 17  # as an enumerated colour space
OPACITY = {1, 2}  # types of channels


class Declared(NamedTuple):
    """What a file declares about its bands; bits and sign are the first one's."""

    bits: int
    signed: bool
    alpha: bool
    grey: bool


def read_header(file: IO[bytes]) -> Declared:
    """Read the header of an open file, and leave the file where it was."""
    position = file.tell()
    try:
        file.seek(0)
        alpha, grey = False, False
        if file.read(len(CODESTREAM)) != CODESTREAM:
            alpha, grey = _read_boxes(file)
            file.read(len(CODESTREAM))
        depth = file.read(UP_TO_DEPTH)[-1]
        return Declared((depth % SIGNED) + 1, depth >= SIGNED, alpha, grey)
    finally:
        file.seek(position)


def _read_boxes(file: IO[bytes]) -> tuple[bool, bool]:
    """Return whether there is alpha, and whether colours are grey; stop at the codestream."""
    alpha, grey = False, False
    file.seek(0)
    for kind, size in _boxes(file):
        if kind == b"cdef":
            channels = file.read(size)[2:]
            alpha = any(kind in OPACITY for _, kind, _ in struct.iter_unpack(">HHH", channels))
        elif kind == b"colr":
            method, _, _, space = struct.unpack(">BBBI", file.read(size)[:7].ljust(7, b"\0"))
            grey = method == 1 and space == GREY
        elif kind != b"jp2h":  # whose boxes come next
            file.seek(size, 1)
    return alpha, grey


def _boxes(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the kind of each box and the size of its content, up to the codestream."""
    while True:
        size, kind = struct.unpack(">I4s", file.read(8))
        size = struct.unpack(">Q", file.read(8))[0] - 16 if size == 1 else size - 8
        if kind == b"jp2c":
            return
        if size < 0:
            raise ValueError("a box of its header has no length")
        yield kind, size
