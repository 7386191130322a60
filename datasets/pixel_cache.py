"""Decode each file once: pixels of large domains go to a folder that processes share.

The files below one folder share a store for each size, fit and version of Pillow. An image is known
by its path, size and time of change, as in make and rsync: a hash would read every file at each
start. Files that cannot be read are not remembered, but tried again.
"""

import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import PIL
import torch
from filelock import FileLock, Timeout

from dacbn.datasets.cached_images import CachedImages, image_bytes
from dacbn.datasets.decoding import Picture
from dacbn.datasets.fitting import Fit
from dacbn.datasets.many_files import NO_PIXELS, Outcome
from dacbn.datasets.pixel_store import PixelStore, Signature, delete_store
from dacbn.progress import counted
from dacbn.spelling import spell

LOG = logging.getLogger(__name__)
DECODING = 2  # raise it when decoding gives other pixels
MARGIN = 2 * 1024**3  # bytes of the disk that stay free
MOST = 100 * 1024**3  # bytes of all stores, above which those that were used least recently go
ANNOUNCED = 100 * 1024**2  # bytes that are written without a word


def cached_images(
    files: Sequence[Path], size: int, fit: Fit, cache: str
) -> tuple[CachedImages, list[Outcome]] | None:
    """Return the images of files from the cache, and decode into it those that it lacks.

    Another process that fills the same store is waited for.

    Args:
        files: N image files.
        size: pixels per side.
        fit: how an image becomes square.
        cache: the folder of the cache, or "auto" for that of the user.

    Returns:
        the R readable images, and for each file what is known of it; None, with a warning, if the
        cache cannot be used.
    """
    try:
        folder = _user_folder() if cache == "auto" else Path(cache)
        folder.mkdir(parents=True, exist_ok=True)
        here = os.getcwd()
        paths = [os.path.join(here, file) for file in files]
        top = _folder_of_all(paths)
        settings = [DECODING, PIL.__version__, size, fit, os.path.realpath(top)]
        key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        with _locked(folder / f"{key}.lock"):
            signatures = [_sign(path, top) for path in paths]
            return _read(PixelStore(folder / f"{key}.jsonl", size, fit), files, signatures)
    except (OSError, NotImplementedError) as error:  # the latter where files cannot be locked
        reason = getattr(error, "strerror", None) or error
        warnings.warn(
            f"images are decoded in each run, since the cache {cache!r} cannot be used: {reason}; "
            f"choose another folder by {spell('cache', 'DIR')}, or {spell('cache', 'none')}",
            stacklevel=3,
        )
        return None


def _read(
    store: PixelStore, files: Sequence[Path], signatures: Sequence[Signature | str]
) -> tuple[CachedImages, list[Outcome]]:
    missing = {
        position: signature
        for position, signature in enumerate(signatures)
        if not isinstance(signature, str) and signature not in store.known
    }
    if missing:
        _make_room(len(missing) * image_bytes(store.size), store)
    added = store.add([files[position] for position in missing], list(missing.values()))
    progress = counted(added, len(missing), "image", "reading images")
    outcomes = dict(zip(missing, progress, strict=True))
    rows: list[int] = []
    good: list[Path] = []
    for position, (file, signature) in enumerate(zip(files, signatures, strict=True)):
        if isinstance(signature, str):
            outcomes[position] = signature
        elif known := store.known.get(signature):
            outcomes[position] = Picture(NO_PIXELS, known.note, known.peak)
            rows.append(known.row)
            good.append(file)
    store.touch()
    images = CachedImages(
        tuple(good), store.size, store.fit, pixels=store.pixels, rows=torch.tensor(rows).long()
    )
    return images.opened(), [outcomes[position] for position in range(len(files))]


def _sign(path: str, top: str) -> Signature | str:
    """Return what tells an image from others, or why the file cannot be read."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return getattr(error, "strerror", None) or str(error)
    return path.removeprefix(top), status.st_size, status.st_mtime_ns


def _make_room(needed: int, store: PixelStore) -> None:
    """Say what will be written, and delete the stores that were used least recently for it.

    Raises:
        OSError: the disk has too little room.
    """
    folder = store.index.parent
    others = [index for index in folder.glob("*.jsonl") if index != store.index]
    others.sort(key=lambda index: index.stat().st_mtime)
    while others and (_bytes_in(folder) + needed > MOST or _free(folder) < needed):
        index = others.pop(0)
        try:
            with FileLock(index.with_suffix(".lock"), timeout=0):
                delete_store(index)
        except Timeout:  # another process writes it
            continue
    if (free := _free(folder)) < needed:
        raise OSError(
            f"{needed / 1e9:,.1f} GB of pixels do not fit: {max(0, free) / 1e9:,.1f} GB are free, "
            f"without {MARGIN / 1e9:.1f} GB that stay so"
        )
    if needed > ANNOUNCED:
        LOG.info(
            "writing %.1f GB of pixels to %s, so that %d images are decoded once; %s writes none",
            *(needed / 1e9, folder, needed // image_bytes(store.size), spell("cache", "none")),
        )


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.u8"))


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free - MARGIN


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; it goes when the process ends, however it does."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        LOG.info("waiting for another process, which decodes images of the same folder")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _folder_of_all(paths: Sequence[str]) -> str:
    try:
        return os.path.commonpath(set(map(os.path.dirname, paths)))
    except ValueError as error:  # on Windows
        raise OSError("the images lie on several drives") from error


def _user_folder() -> Path:
    """Return the folder in the user's cache folder, which only the user may write to."""
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise OSError("the user has no home folder") from error
    (caches / "dacbn").mkdir(mode=0o700, parents=True, exist_ok=True)
    return caches / "dacbn" / "pixels"
