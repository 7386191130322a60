"""Write small TIFF files of kinds that Pillow does not write."""

import struct

import numpy as np

SHORT = 3
WHOLE, SIGNED, FLOAT = 1, 2, 3


def write_tiff(path, pixels, bits=None, photometric=1, extra=(), sample_format=None, data=None):
    """Write pixels (H, W) or (H, W, B) as one uncompressed strip, and return the path."""
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    kind = sample_format or {"u": WHOLE, "i": SIGNED, "f": FLOAT}[pixels.dtype.kind]
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes() if data is None else data
    entries = {
        256: [width],
        257: [height],
        258: [bits or 8 * pixels.itemsize] * bands,
        259: [1],
        262: [photometric],
        273: [0],
        277: [bands],
        278: [height],
        279: [len(data)],
        284: [1],
        338: list(extra),
        339: [kind] * bands,
    }
    entries = {tag: values for tag, values in entries.items() if values}
    after = 8 + 2 + 12 * len(entries) + 4
    long_values = b""
    directory = struct.pack("<H", len(entries))
    entries[273] = [after + sum(2 * len(v) for v in entries.values() if len(v) > 2)]
    for tag, values in entries.items():
        packed = struct.pack(f"<{len(values)}H", *values)
        if len(packed) > 4:
            offset = struct.pack("<I", after + len(long_values))
            long_values, packed = long_values + packed, offset
        directory += struct.pack("<HHI", tag, SHORT, len(values)) + packed.ljust(4, b"\0")
    path.write_bytes(b"II*\0\x08\0\0\0" + directory + b"\0\0\0\0" + long_values + data)
    return path


def pack_12_bits(values):
    """Pack an even number of values of 12 bits, the highest bits first."""
    pairs = np.asarray(values).reshape(-1, 2).tolist()
    return b"".join(((a << 12) | b).to_bytes(3, "big") for a, b in pairs)
