"""Which test images a run answers rightly, kept so that runs are compared image by image.

The file holds bool (N,) for each test set, in the order of its images, also of the network that a
training or adaptation started from, if that could answer; and digests of its labels and, in memory,
pixels, by which test sets of one name and size are told apart. Nothing that estimates or chooses
reads it.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dacbn.datasets import LabelledImages, TensorImages
from dacbn.models import Network
from dacbn.training.storage import first_line, write_atomically

RIGHT_ANSWERS = "right_answers.safetensors"
START = "start "  # before the names of what the network answered at first
LABELS, PIXELS = "labels of ", "pixels of {} px of "  # before the names, of digests
DIGESTED = 500  # images: those of 224 pixels take 0.1 s

Right = Mapping[str, Tensor]


class Scorer:
    """Score a network on test sets, and keep which of their images it answers rightly.

    Args:
        score: returns scores by name, and what is right by test set.

    Attributes:
        right: of the last network that was scored.
    """

    def __init__(self, score: Callable[[Network], tuple[dict[str, float], Right]]) -> None:
        self._score = score
        self.right: Right = {}

    def __call__(self, network: Network) -> dict[str, float]:
        """Return the scores of a network."""
        scores, self.right = self._score(network)
        return scores


def name_test(kind: str, domain: str) -> str:
    """Name a test set, as in the file: its kind, "source_test" or "target_test", and its domain."""
    return f"{kind} {domain}"


def digest_test(name: str, test: LabelledImages) -> Right:
    """Digest labels, and pixels that are in memory, by names in the file."""
    labels = "\0".join(test.classes[label] for label in test.labels.tolist())
    found = {LABELS + name: labels.encode()}
    if isinstance(test.images, TensorImages):
        rows = torch.linspace(0, len(test) - 1, min(len(test), DIGESTED)).long()
        pixels = test.images.gather(rows).cpu().contiguous()
        found[PIXELS.format(test.images.size) + name] = pixels.numpy().tobytes()
    return {
        each: torch.tensor(list(hashlib.sha256(content).digest()), dtype=torch.uint8)
        for each, content in found.items()
    }


def are_of_the_same(ours: Right, theirs: Right, name: str) -> bool:
    """Whether two runs answered the same images of a test set, by number and known digests."""
    known = [each for each in ours if each.endswith(f"of {name}") and each in theirs]
    return len(ours[name]) == len(theirs[name]) and all(
        ours[each].equal(theirs[each]) for each in known
    )


def drop_right(folder: Path) -> None:
    """Drop what a network of an earlier step answered rightly, before another takes its place."""
    kept = read_right(folder)
    if any(not name.startswith(START) for name in kept):
        content = save({name: each for name, each in kept.items() if name.startswith(START)})
        write_atomically(folder / RIGHT_ANSWERS, lambda draft: draft.write_bytes(content))


def save_right(folder: Path | None, right: Right, start: bool = False) -> None:
    """Add what is right to the file of a run folder, in place of what was of the same test sets.

    Args:
        folder: the run folder; None writes nothing.
        right: by test set.
        start: whether it is of the network that the training started from.

    Raises:
        StorageError: the folder cannot be written.
    """
    if folder is None or not right:
        return
    named = {START + name: each for name, each in right.items()} if start else dict(right)
    content = save({name: each.contiguous() for name, each in (read_right(folder) | named).items()})
    write_atomically(folder / RIGHT_ANSWERS, lambda draft: draft.write_bytes(content))


def read_right(folder: Path) -> dict[str, Tensor]:
    """Read what `save_right` wrote; nothing if absent or, with a warning, damaged."""
    path = folder / RIGHT_ANSWERS
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, SafetensorError) as error:
        warnings.warn(f"{path} is not used: {first_line(error)}; delete it", stacklevel=2)
        return {}


def started(right: Right) -> Right:
    """Return what was right when the training started, by test set."""
    return {
        name.removeprefix(START): each for name, each in right.items() if name.startswith(START)
    }
