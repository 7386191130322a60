"""Names of the domains of a training, by which people ask for them."""

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path, PurePath

from dacbn.datasets import LabelledLike, UnlabelledLike, record_place
from dacbn.training.config import TrainConfig
from dacbn.training.run_info import IN_MEMORY

AVERAGE = "average"  # in place of a domain's name: all sources, for a domain that is none of them


def name_given(domains: Sequence[LabelledLike | UnlabelledLike | None]) -> tuple[str, ...]:
    """Return what the settings record of domains: what was given, or that it was in memory."""
    return tuple(
        record_place(str(data)) if isinstance(data, str | Path) else IN_MEMORY for data in domains
    )


def name_domains(config: TrainConfig) -> tuple[str, ...]:
    """Return the name of each domain, in the order of the ids: sources first.

    Places that are seen as one domain have one name.

    Example:
        >>> name_domains(TrainConfig(source=("mnist", "usps"), target="photos/phone"))
        ('mnist', 'usps', 'phone')
    """
    names, ids = name_places(config), place_ids(config)
    return tuple(
        " + ".join(name for name, each in zip(names, ids, strict=True) if each == domain)
        for domain in sorted(set(ids))
    )


def name_places(config: TrainConfig) -> tuple[str, ...]:
    """Return a name for each source and target that was given.

    It is as much of the end of its path as tells it from the others; domains that were given as
    images are called "source" or "target", with a number if there are several. A place that is
    given twice has its role in its name, such as "photos (source 1)".
    """
    given = [*_numbered(config.source, "source"), *_numbered(config.target, "target")]
    names, count = _shortest(given), len(config.source)
    sources, targets = names[:count], names[count:]
    return (*_apart(sources, "source", targets), *_apart(targets, "target", sources))


def place_ids(config: TrainConfig) -> tuple[int, ...]:
    """Return the domain id of each source and target that was given."""
    sources = [0 if config.merge_sources else number for number in range(len(config.source))]
    first = num_sources(config)
    targets = [first if config.merge_targets else first + n for n in range(len(config.target))]
    return (*sources, *targets)


def name_unseen(config: TrainConfig) -> tuple[str, ...]:
    """Return the name of each domain that is only scored; see `name_domains`."""
    given = [*_numbered(config.source, "source"), *_numbered(config.unseen, "unseen")]
    return tuple(_shortest(given)[len(config.source) :])


def num_sources(config: TrainConfig) -> int:
    """Return the number of domain ids that belong to sources."""
    return 1 if config.merge_sources else len(config.source)


def num_domains(config: TrainConfig) -> int:
    """Return the number of domain ids; at least 2, since layers by domain have a target's too."""
    return max(2, *(1 + domain for domain in place_ids(config)))


def find_domain(config: TrainConfig, domain: str | int | None) -> tuple[int, ...]:
    """Return the ids of the domains whose statistics answer for a domain.

    Args:
        config: the settings of the training.
        domain: its name or id. "average" means all sources, whose answers are averaged: for a
            domain that was never seen. None is the target if there is one, and the average if
            there is none.

    Raises:
        ValueError: there is no such domain, or several could be meant.
    """
    names, first = name_domains(config), num_sources(config)
    if domain == AVERAGE or (domain is None and not config.target):
        return tuple(range(first))
    if domain is None:
        if len(names) > first + 1:
            raise ValueError(
                f"there are several targets: name one, {' or '.join(names[first:])}, or {AVERAGE}"
            )
        return (first,)
    known = ", ".join(names)
    if isinstance(domain, str):
        if domain not in names:
            raise ValueError(f"there is no domain {domain!r}: choose one of {known}, or {AVERAGE}")
        return (names.index(domain),)
    if not isinstance(domain, Integral) or isinstance(domain, bool):
        raise ValueError(f"a domain is a name ({known}, {AVERAGE}) or a number, got {domain!r}")
    last = num_domains(config) - 1
    if not 0 <= domain <= last:
        raise ValueError(f"there is no domain {domain}: choose 0 to {last}, or one of {known}")
    return (domain,)


def one_domain(ids: Sequence[int]) -> int:
    """Return the id of one domain, whose statistics are to be moved.

    Raises:
        ValueError: there are several.
    """
    if len(ids) > 1:
        raise ValueError("the statistics of one domain are moved: name it, instead of the average")
    return ids[0]


def _numbered(places: Sequence[str], kind: str) -> list[str]:
    several = len(places) > 1
    return [
        (f"{kind} {number}" if several else kind) if place == IN_MEMORY else place
        for number, place in enumerate(places, start=1)
    ]


def _shortest(places: Sequence[str]) -> list[str]:
    """Return the ends of paths, as short as they can be without two alike."""
    names = []
    for index, place in enumerate(places):
        parts = PurePath(place).parts or (place,)
        others = [PurePath(other).parts for n, other in enumerate(places) if n != index]
        ends = (parts[-size:] for size in range(1, len(parts) + 1))
        end = next((end for end in ends if not any(_ends(other, end) for other in others)), parts)
        names.append("/".join(end))
    return names


def _apart(names: Sequence[str], role: str, others: Sequence[str]) -> list[str]:
    """Add the role to names that occur twice, or among the others too."""
    found = []
    for index, name in enumerate(names):
        number = f" {1 + names[:index].count(name)}" if names.count(name) > 1 else ""
        found.append(f"{name} ({role}{number})" if number or name in others else name)
    return found


def _ends(parts: Sequence[str], end: Sequence[str]) -> bool:
    return tuple(parts[-len(end) :]) == tuple(end)
