"""The grid of a comparison: norms, methods and seeds, with controls for the norms."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dacbn.comparison.controls import controls_of, controls_of_domains
from dacbn.spec import Spec
from dacbn.spelling import spell
from dacbn.training import TrainConfig, starts_pretrained, takes_labelled_target

WITHOUT_ADAPTATION = "source_only"
PROBE = "linear probe"
FROZEN = (("train", "head"),)  # the settings of a linear probe that differ from the others'


class Variant(NamedTuple):
    """A norm and a method to train with every seed.

    Attributes:
        norm: the backbone's normaliser.
        method: adaptation method.
        changes: other settings that differ from those of the comparison.
        control: title of the control; empty if it is none.
        controlled: the norm that it is a control of; empty if it is no control.
    """

    norm: Spec
    method: Spec
    changes: tuple[tuple[str, Any], ...] = ()
    control: str = ""
    controlled: str = ""

    @property
    def title(self) -> str:
        """The norm and, in brackets, the title of the control."""
        return f"{self.norm} (control: {self.control})" if self.control else self.norm


class Cell(NamedTuple):
    """One training of a comparison.

    Attributes:
        variant: its norm and method.
        config: all settings, including the seed.
        name: name of its folder.
    """

    variant: Variant
    config: TrainConfig
    name: str


def choose_variants(
    norms: Iterable[str],
    methods: Iterable[str],
    controls: bool = False,
    several_sources: bool = False,
    probe: tuple[tuple[str, Any], ...] | None = None,
) -> list[Variant]:
    """Combine all norms with all methods, followed by the controls, each once.

    Args:
        norms: normalisers.
        methods: adaptation methods.
        controls: whether to add controls.
        several_sources: whether there are several sources, which has a control of its own.
        probe: settings that make source_only, with the first norm, the linear probe of pretrained
            weights, which controls for all training of the backbone; None has none.

    Raises:
        UnknownNameError: there is no such norm.
        ValueError: no norm or no method is given, or one is given twice.
    """
    some_norms, some_methods = list(map(Spec, norms)), list(map(Spec, methods))
    for kind, given in (("norm", some_norms), ("method", some_methods)):
        if not given or len(set(given)) < len(given):
            raise ValueError(f"give at least one {kind} to compare, and each once: got {given}")
    variants = [Variant(norm, method) for method in some_methods for norm in some_norms]
    if probe is not None:
        source_only = Spec(WITHOUT_ADAPTATION)
        variants.append(Variant(some_norms[0], source_only, probe, PROBE))
    if controls:
        variants += [
            Variant(control.norm, method, control.changes, control.title, norm)
            for method in some_methods
            for norm in some_norms
            for control in (
                *controls_of(norm),
                *(controls_of_domains(norm, method) if several_sources else ()),
            )
        ]
    different = {
        variant[:3]: variant for variant in reversed(variants)
    }  # keeps the first of equals
    return [variant for variant in variants if different[variant[:3]] is variant]


def probe_settings(config: TrainConfig) -> tuple[tuple[str, Any], ...] | None:
    """Return the settings of the linear probe that differ from a comparison's; None has no probe.

    Example:
        >>> probe_settings(TrainConfig(weights="net.safetensors", classifier_start="centres"))
        (('train', 'head'), ('classifier_start', 'probe'))
    """
    if not starts_pretrained(config) or config.classifier or config.bottleneck:
        return None
    changes = () if config.train == "head" else FROZEN
    if config.classifier_start == "centres":  # which look at the target
        return (*changes, ("classifier_start", "probe"))
    return changes


def make_grid(config: TrainConfig, variants: Iterable[Variant], seeds: int) -> list[Cell]:
    """Return the cells seed by seed: every variant with each seed, counted from `config.seed`.

    Labelled target images are for the methods that take them; if none does, checks say so.

    Raises:
        ValueError: `seeds` is less than 1, or two variants would share a folder.
    """
    if seeds < 1:
        raise ValueError(f"{spell('seeds')} must be at least 1, got {seeds}")
    variants = list(variants)
    some_take = any(takes_labelled_target(variant.method) for variant in variants)
    without = dataclasses.replace(config, target_labelled=())
    cells = [
        _cell(
            variant,
            without if some_take and not takes_labelled_target(variant.method) else config,
            seed,
        )
        for seed in range(config.seed, config.seed + seeds)
        for variant in variants
    ]
    names = [cell.name for cell in cells]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two norms or methods would use the same folder {twice}: leave one out")
    return cells


def reference_of(variant: Variant, variants: Sequence[Variant]) -> Variant | None:
    """Return the variant that its norm is compared with; None if that is the variant itself.

    It has the same method, and the first norm or, for a control, the norm that it controls.
    """
    norm = variant.controlled or variants[0].norm
    return _find(variants, (norm, variant.method, ()), variant)


def baseline_of(variant: Variant, variants: Sequence[Variant]) -> Variant | None:
    """Return the variant that its method is compared with; None if that is the variant itself."""
    return _find(variants, (variant.norm, baseline_method(variants), variant.changes), variant)


def baseline_method(variants: Sequence[Variant]) -> str:
    """Return the method without adaptation, or else the first; the probe is a control of all."""
    methods = [each.method for each in variants if each.control != PROBE]
    return WITHOUT_ADAPTATION if WITHOUT_ADAPTATION in methods else methods[0]


def _find(variants: Sequence[Variant], wanted: object, but: Variant) -> Variant | None:
    return next((each for each in variants if each[:3] == wanted and each != but), None)


def _words(variant: Variant) -> list[str]:
    """Return the changes of a variant as its folder's name shows them."""
    return [name if value is True else value for name, value in variant.changes]


def _cell(variant: Variant, config: TrainConfig, seed: int) -> Cell:
    changes: dict[str, Any] = {"norm": variant.norm, "method": variant.method, "seed": seed}
    name = "-".join([variant.method, variant.norm, *_words(variant)])
    readable = re.sub(r"[^\w.=+]+", "-", re.sub(r"['\" ]", "", name)).strip("-").replace("-+", "+")
    own = dataclasses.replace(config, **changes, **dict(variant.changes))
    return Cell(variant, own, f"{readable}-seed{seed}")
