"""Tell several domains from one: a list of domains, or of the images of a single one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from dacbn.datasets.addresses import expand
from dacbn.datasets.catalogue import datasets
from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.images import LabelledImages, UnlabelledImages
from dacbn.datasets.recognise import is_array

SMALLEST_BATCH = 3  # dimensions of an array of several images; one with fewer is no domain


def list_domains(data: Any, columns: Sequence[str] = ()) -> list[Any]:
    """Return the domains in a list or tuple of domains; anything else is one domain.

    A list of image files or pictures is one domain, and so is a pair (images, labels). A table
    with several domains gives each of them. None in a list of test sets is a domain without one.

    Args:
        data: a domain, or several.
        columns: names of the columns of tables; see `expand`.

    Example:
        >>> list_domains(["mnist", "usps"]), list_domains("mnist")
        (['mnist', 'usps'], ['mnist'])
        >>> list_domains(["a.png", "b.png"])
        [['a.png', 'b.png']]
    """
    several = isinstance(data, list | tuple) and bool(data) and all(map(_is_domain, data))
    pair = isinstance(data, tuple) and any(map(is_array, data))
    domains = list(data) if several and not pair else [data]
    return [part for domain in domains for part in _parts(domain, columns)]


def _parts(domain: Any, columns: Sequence[str]) -> Sequence[Any]:
    """Return an address for each domain of a table that has several; anything else as it is."""
    addresses = expand(domain, columns) if isinstance(domain, str | Path) else ()
    return addresses if len(addresses) > 1 else [domain]


def _is_domain(item: Any) -> bool:
    if isinstance(item, str | Path):
        return str(item) in datasets or Path(item).suffix.lower() not in SUFFIXES
    if isinstance(item, tuple):
        return len(item) == 2 and isinstance(item[0], Sequence | Dataset) | is_array(item[0])
    if is_array(item):
        return len(item.shape) > SMALLEST_BATCH
    return item is None or isinstance(item, LabelledImages | UnlabelledImages | Dataset)
