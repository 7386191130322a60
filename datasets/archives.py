"""Find published dataset files where torchvision stores them, or download them on request."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dacbn.spelling import spell


def find_archive(path: Path, urls: Sequence[str], md5: str, download: bool) -> Path:
    """Return `path`; if the file is missing, download it first if allowed.

    Args:
        path: path of the file.
        urls: download addresses, tried in order.
        md5: checksum of the published file. A download must match it. An existing file that does
            not match causes only a warning, because subsets and rebuilt files are useful too.
        download: whether a missing file may be downloaded.

    Raises:
        FileNotFoundError: the file is missing, and downloading is not allowed or failed.
    """
    from torchvision.datasets.utils import check_md5, download_url

    if path.is_file():
        if not check_md5(str(path), md5):
            warnings.warn(f"{path} is not the published file (its md5 differs)", stacklevel=2)
        return path
    if not download:
        raise FileNotFoundError(
            f"{path} is missing: place it there from {urls[0]}, or pass {spell('download', True)}"
        )
    for url in urls:
        try:
            download_url(url, path.parent, path.name, md5)
        except (OSError, RuntimeError):  # no network, a refused connection, a wrong checksum
            path.unlink(missing_ok=True)
        else:
            return path
    raise FileNotFoundError(f"could not download {path.name}: place it at {path} from {urls[0]}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error while parsing `path` into a one-line error with the fix.

    Raises:
        ValueError: the file could not be parsed.
    """
    try:
        yield
    except Exception as error:  # gzip, bz2, zipfile, zlib and scipy raise different types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"cannot read {path} ({reason}): delete it and fetch it again") from error


def whole_labels(values: NDArray[Any], low: int, high: int) -> NDArray[np.int64]:
    """Return labels (N,) as whole numbers.

    Raises:
        ValueError: a value is no whole number from `low` to `high`.
    """
    values = values.reshape(-1)
    wrong = ~((values >= low) & (values <= high) & (values == np.round(values)))  # NaN is wrong too
    if wrong.any():
        raise ValueError(f"label {values[wrong][0]} is no whole number from {low} to {high}")
    return values.astype(np.int64)


def check_shape(images: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check that images (N, ...) have the published shape.

    Raises:
        ValueError: they do not.
    """
    if images.shape[1:] != shape:
        raise ValueError(f"its images have shape {images.shape[1:]} instead of {shape}")
