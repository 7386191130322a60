"""Tell several domains from one: a list of domains, or of the images of a single one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from dacbn.datasets.addresses import expand
from dacbn.datasets.catalogue import datasets
from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.hugging_face import is_hugging_face
from dacbn.datasets.images import LabelledImages, UnlabelledImages
from dacbn.datasets.recognise import is_array, is_pair, items_in

SMALLEST_BATCH = 3  # dimensions of an array of several images; one with fewer is no domain


def list_domains(data: Any, columns: Sequence[str] = ()) -> list[Any]:
    """Return the domains in a list or tuple of domains; anything else is one domain.

    A list of image files or pictures is one domain, and so is a pair (images, labels); a list of
    such lists has several. A table with several domains gives each of them. None in a list of test
    sets is a domain without one.

    Args:
        data: a domain, or several.
        columns: names of the columns of tables; see `expand`.

    Example:
        >>> list_domains(["mnist", "usps"]), list_domains("mnist")
        (['mnist', 'usps'], ['mnist'])
        >>> list_domains(["a.png", "b.png"])
        [['a.png', 'b.png']]
    """
    pair = isinstance(data, tuple) and any(map(is_array, data))
    domains = list(data) if _are_domains(data) and not pair else [data]
    return [part for domain in domains for part in _parts(domain, columns)]


def has_labels(data: Any) -> bool:
    """Whether data may have labels of its own: by a name, a pair, a dataset, or a list of these.

    Example:
        >>> has_labels(["mnist", "usps"]), has_labels(["a.png", "b.png"])
        (True, False)
    """
    single = isinstance(data, str | Path | LabelledImages | Dataset | DataLoader)
    return single or is_hugging_face(data) or is_pair(data) or _are_domains(data)


def is_unlabelled(data: Any) -> bool:
    """Whether these are images alone, which have no labels: an array, pictures or image files.

    Example:
        >>> is_unlabelled(["a.png", "b.png"]), is_unlabelled(["mnist", "usps"])
        (True, False)
    """
    if has_labels(data):
        return False
    return isinstance(data, UnlabelledImages) or is_array(data) or items_in(data) is not None


def _parts(domain: Any, columns: Sequence[str]) -> Sequence[Any]:
    """Return an address for each domain of a table that has several; anything else as it is."""
    addresses = expand(domain, columns) if isinstance(domain, str | Path) else ()
    return addresses if len(addresses) > 1 else [domain]


def _are_domains(data: Any) -> bool:
    if not isinstance(data, list | tuple) or not data:
        return False
    nested = isinstance(data, list) and isinstance(data[0], list)  # a tuple: files and labels
    return all(map(items_in if nested else _is_domain, data))


def _is_domain(item: Any) -> bool:
    if isinstance(item, str | Path):
        return str(item) in datasets or Path(item).suffix.lower() not in SUFFIXES
    if isinstance(item, tuple):
        return len(item) == 2 and isinstance(item[0], Sequence | Dataset) | is_array(item[0])
    if is_array(item):
        return len(item.shape) > SMALLEST_BATCH
    return item is None or isinstance(item, LabelledImages | UnlabelledImages | Dataset)
