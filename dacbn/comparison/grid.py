"""The grid of a comparison: norms, methods and seeds, with the controls that a claim needs."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dacbn.comparison.controls import controls_of
from dacbn.training import TrainConfig

WITHOUT_ADAPTATION = "source_only"


class Variant(NamedTuple):
    """What is trained with every seed.

    Args:
        norm: the backbone's normaliser.
        method: how to adapt.
        changes: settings, besides these two, that differ from those of the comparison.
        control: what it is a control for; empty for what was asked for.
        controlled: the norm that it is a control of; empty for what was asked for.
    """

    norm: str
    method: str
    changes: tuple[tuple[str, Any], ...] = ()
    control: str = ""
    controlled: str = ""

    @property
    def title(self) -> str:
        """The norm, and what it controls for."""
        return f"{self.norm} (control: {self.control})" if self.control else self.norm


class Cell(NamedTuple):
    """One training of a comparison.

    Args:
        variant: what is trained.
        config: all settings, with the seed.
        name: of its folder.
    """

    variant: Variant
    config: TrainConfig
    name: str


def choose_variants(
    norms: Iterable[str], methods: Iterable[str], controls: bool = False
) -> list[Variant]:
    """Combine norms and methods; with controls, those of every norm follow, each once.

    Raises:
        UnknownNameError: there is no such norm.
        ValueError: no norm or no method is named, or one twice.
    """
    norms, methods = list(norms), list(methods)
    for kind, named in (("norm", norms), ("method", methods)):
        if not named or len(set(named)) < len(named):
            raise ValueError(f"name every {kind} to compare once, and at least one, got {named}")
    variants = [Variant(norm, method) for method in methods for norm in norms]
    if controls:
        variants += [
            Variant(control.norm, method, control.changes, control.title, norm)
            for method in methods
            for norm in norms
            for control in controls_of(norm)
        ]
    different = {variant[:3]: variant for variant in reversed(variants)}  # the first of equals
    return [variant for variant in variants if different[variant[:3]] is variant]


def make_grid(config: TrainConfig, variants: Iterable[Variant], seeds: int) -> list[Cell]:
    """Train every variant with each of the seeds, from that of the settings on, seed by seed.

    Raises:
        ValueError: there is no seed, or two variants would share a folder.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    variants = list(variants)
    cells = [
        _cell(variant, config, seed)
        for seed in range(config.seed, config.seed + seeds)
        for variant in variants
    ]
    names = [cell.name for cell in cells]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two norms or methods would share the folder {twice}: leave one out")
    return cells


def reference_of(variant: Variant, variants: Sequence[Variant]) -> Variant | None:
    """Return what its norm is compared with, under the same method; None for itself.

    That is the first norm or, for a control, the norm that it controls.
    """
    norm = variant.controlled or variants[0].norm
    return _find(variants, (norm, variant.method, ()), variant)


def baseline_of(variant: Variant, variants: Sequence[Variant]) -> Variant | None:
    """Return what its method is compared with, under the same norm; None for itself."""
    method = baseline_method([each.method for each in variants])
    return _find(variants, (variant.norm, method, variant.changes), variant)


def baseline_method(methods: Sequence[str]) -> str:
    """Choose the method without adaptation, or else the first."""
    return WITHOUT_ADAPTATION if WITHOUT_ADAPTATION in methods else methods[0]


def _find(variants: Sequence[Variant], wanted: object, but: Variant) -> Variant | None:
    return next((each for each in variants if each[:3] == wanted and each != but), None)


def _cell(variant: Variant, config: TrainConfig, seed: int) -> Cell:
    changes: dict[str, Any] = {"norm": variant.norm, "method": variant.method, "seed": seed}
    name = "-".join([variant.method, variant.norm, *(value for _, value in variant.changes)])
    readable = re.sub(r"[^\w.=+]+", "-", re.sub(r"['\" ]", "", name)).strip("-").replace("-+", "+")
    own = dataclasses.replace(config, **changes, **dict(variant.changes))
    return Cell(variant, own, f"{readable}-seed{seed}")
