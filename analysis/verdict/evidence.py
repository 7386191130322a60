"""The input of the rules of a verdict, and their output."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.training.curves import Curves
from dacbn.datasets import UNKNOWN
from dacbn.methods import methods, source_free_methods
from dacbn.models import resolve_norm
from dacbn.training import TrainConfig

MIN_RECORDS = 10  # for a rule about the shape of a curve


class Finding(NamedTuple):
    """A problem that a rule found: the observation, with numbers, and advice."""

    observation: str
    advice: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """The input of the rules; unknown values are None or empty.

    Args:
        curves: for each metric, (points, 2): step and value.
        steps: planned number of training steps.
        source_shares: share of each class among the source's labels, (C,).
        target_shares: share of each class among the target's predictions, (C,).
        proxy_distance: proxy A-distance between the domains' features.
        excess: mean confidence on the target minus its accuracy.
        images: number of images per domain from which the shares are computed.
        classes: class names, in the order of the shares.
        overlaps: for each mixture layer, the mean overlap of the components in use; NaN if only
            one is in use.
        config: the settings of the run, so that advice fits them.
        right: by class, how many target images are answered rightly, and of how many, (C, 2).
    """

    curves: Curves = field(default_factory=dict)
    steps: int | None = None
    source_shares: Floats | None = None
    target_shares: Floats | None = None
    proxy_distance: float | None = None
    excess: float | None = None
    images: float = np.inf
    classes: tuple[str, ...] = ()
    overlaps: Mapping[str, float] = field(default_factory=dict)
    config: TrainConfig | None = None
    right: NDArray[np.int64] | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods of the run; none if its settings are unknown."""
        return () if self.config is None else self.config.method.names

    @property
    def adapts(self) -> bool:
        """Whether the run adapts to the target; so it is taken if its settings are unknown."""
        return self.methods != ("source_only",)

    @property
    def has_source(self) -> bool:
        """Whether the run trains on a source; so it is taken if its settings are unknown."""
        return not any(name in source_free_methods for name in self.methods)

    @property
    def weighted(self) -> bool:
        """Whether a method of the run has a weight; so it is taken if its settings are unknown."""
        known = [
            methods[name] if name in methods else source_free_methods[name] for name in self.methods
        ]
        return not known or any("weight" in signature(each).parameters for each in known)

    @property
    def assign(self) -> str | None:
        """How the mixtures of the run assign; None if its normaliser has no such option."""
        if self.config is None or self.config.norm is None:
            return None
        kind, options, _ = resolve_norm(self.config.norm)
        known = signature(kind).parameters.get("assign")
        return None if known is None else str(options.get("assign", known.default))

    def name(self, place: int) -> str:
        """Return the name of a class, or its number; after the last comes "unknown"."""
        return (*self.classes, UNKNOWN)[place] if self.classes else str(place)

    def values(self, name: str) -> NDArray[np.float64] | None:
        """Return the values of a curve; None if there are too few to judge its shape."""
        curve = self.curves.get(name)
        return None if curve is None or len(curve) < MIN_RECORDS else curve[:, 1]


def late(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of the last quarter of a curve."""
    values: NDArray[np.float64] = curve[-(len(curve) // 4) :, 1]
    return values


def alternatives(*choices: str) -> str:
    """Join what can be tried, as a sentence.

    Example:
        >>> alternatives("train longer", "", "use a larger backbone")
        'Train longer, or use a larger backbone'
    """
    given = [choice for choice in choices if choice]
    text = ", ".join(given[:-1]) + ", or " * (len(given) > 1) + given[-1] if given else ""
    return text[:1].upper() + text[1:]
