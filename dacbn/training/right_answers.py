"""Which test images a run answers rightly, kept so that runs are compared image by image.

The file holds bool (N,) for each test set, in the order of its images, also of the network that a
training or adaptation started from, if that could answer. Nothing that estimates or chooses reads
it.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dacbn.models import Network
from dacbn.training.storage import first_line, write_atomically

RIGHT_ANSWERS = "right_answers.safetensors"
START = "start "  # before the names of what the network answered at first

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
