"""Choose the training or the test part of images that lie in larger files."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dacbn.datasets.labels import number_labels
from dacbn.datasets.layout import PART_OF, split, unseen
from dacbn.datasets.packed import PackedFile


class Rows(NamedTuple):
    """The N images of a part, and their labels, which are names or whole numbers; None if without.

    Attributes:
        files: the images.
        labels: the label of each.
    """

    files: Sequence[PackedFile]
    labels: Sequence[str] | Sequence[int] | None


def whole_part(parts: Mapping[str, Rows], place: str, train: bool) -> Rows:
    """Return the training or test part; a single part is both.

    Raises:
        ValueError: a part is missing, not known or empty.
    """
    trained, tested = _find_parts(parts, place)
    name = trained if train else tested
    _refuse_empty(parts[name], _named(place, name))
    return parts[name]


def choose_part(
    parts: Mapping[str, Rows],
    place: str,
    train: bool,
    seed: int = 0,
    seen: Collection[str] | None = None,
) -> dict[str, list[PackedFile]] | list[PackedFile]:
    """Return the images of the training or test part, by class if they have labels.

    Args:
        parts: what there is, by the name of its part; a single one is split as a folder without
            parts is.
        place: where the parts are, for messages.
        train: whether to return the training part; otherwise the test part.
        seed: seed of the split of a single part.
        seen: paths of the images that were trained on, as in `dacbn.datasets.layout.split`.

    Raises:
        ValueError: a part is missing or not known, it has no images, or labels that are none.
    """
    trained, tested = _find_parts(parts, place)
    for name in (trained, tested):
        _refuse_empty(parts[name], _named(place, name))
    train_classes = _by_class(parts[trained], _named(place, trained))
    if trained == tested:
        if train_classes is None:
            return list(parts[trained].files)
        return {
            name: split(files, train, Path(place), seed, seen)
            for name, files in train_classes.items()
        }
    chosen = train_classes if train else _by_class(parts[tested], _named(place, tested))
    if chosen is None:
        return list(parts[trained if train else tested].files)
    if seen is not None:
        chosen = {name: unseen(files, seen) for name, files in chosen.items()}
    if train or train_classes is None:
        return chosen
    if unknown := sorted(chosen.keys() - train_classes.keys()):
        raise ValueError(
            f"part {tested!r} of {place} has classes that {trained!r} lacks: {unknown}"
        )
    return {name: chosen.get(name, []) for name in train_classes}


def _find_parts(parts: Mapping[str, Rows], place: str) -> tuple[str, str]:
    """Return the names of the parts to train on and to test on."""
    if len(parts) == 1 and (PART_OF.get(only := next(iter(parts)).lower()) == "train" or not only):
        return (name := next(iter(parts))), name
    known = {PART_OF[name.lower()]: name for name in parts if name.lower() in PART_OF}
    if "train" not in known:
        raise ValueError(
            f"{place} has the splits {sorted(parts)} and none of them is called train: give one of "
            f"them, as in {place}/{next(iter(parts))} or data[{next(iter(parts))!r}]"
        )
    tests = [known[part] for part in ("test", "val") if part in known]
    labelled = [name for name in tests if parts[name].labels is not None]
    return known["train"], (labelled or tests or [known["train"]])[0]


def _by_class(rows: Rows, place: str) -> dict[str, list[PackedFile]] | None:
    if rows.labels is None:
        return None
    try:
        positions, classes = number_labels([*rows.labels])
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    members: dict[str, list[PackedFile]] = {name: [] for name in sorted(classes)}
    for file, position in zip(rows.files, positions.tolist(), strict=True):
        members[classes[position]].append(file)
    return members


def _refuse_empty(rows: Rows, place: str) -> None:
    if not rows.files:
        raise ValueError(f"{place} holds no images: add some, or leave it out")


def _named(place: str, part: str) -> str:
    return f"part {part!r} of {place}" if part else place
