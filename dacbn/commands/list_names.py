"""dacbn list: the registered names."""

import textwrap
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

from tyro.conf import Positional

from dacbn.commands.summaries import read_summaries
from dacbn.registry import Registry

Kind = Literal[
    "all",
    "norms",
    "weights",
    "methods",
    "source-free",
    "test-time",
    "label-shift",
    "estimators",
    "validators",
    "datasets",
    "recipes",
    "formats",
    "backbones",
    "kernels",
]
REGISTRIES = {
    "norms": ("dacbn.norms", "norms"),
    "weights": ("dacbn.norms", "weights"),
    "methods": ("dacbn.methods", "methods"),
    "source-free": ("dacbn.methods", "source_free_methods"),
    "test-time": ("dacbn.methods", "test_time_methods"),
    "label-shift": ("dacbn.label_shift", "estimators"),
    "estimators": ("dacbn.estimates", "estimators"),
    "validators": ("dacbn.training", "validators"),
    "datasets": ("dacbn.datasets", "datasets"),
    "recipes": ("dacbn.recipes", "recipes"),
    "formats": ("dacbn.export", "formats"),
    "backbones": ("dacbn.models", "own_backbones"),
}
NOTHING: dict[str, dict[str, str]] = {}


def list_names(
    kind: Positional[Kind] = "all",
) -> None:
    """List registered names; for a single kind, with options and papers.

    Args:
        kind: norms, weights (parametrizations of the weights before a norm), methods, source-free
            methods (for dacbn adapt), test-time methods (for dacbn predict --adapt), label-shift
            estimators (for dacbn predict and evaluate --label-shift), estimators (of the target's
            accuracy without its labels), validators (scores without target labels), datasets,
            recipes, formats (for dacbn export), backbones, or all of these; and kernels, which
            says what code computes mixtures on this machine.
    """
    for title, (room, variable) in REGISTRIES.items():
        if kind == "all":
            _print(title, read_summaries(room, variable))
        elif kind == title:
            registry: Registry[Any] = getattr(import_module(room), variable)
            abouts = {name: registry.describe(name) for name in registry}
            summaries = {name: about.pop("does") for name, about in abouts.items()}
            _print(title, summaries, NOTHING if title == "datasets" else abouts)
    if kind in ("all", "backbones"):
        print("  and the models of timm.list_models()")
    if kind == "kernels":
        from dacbn.norms.mixture.kernels.choose import kernel_status

        for device, device_type in (("CPU", "cpu"), ("GPU", "cuda")):
            print(f"mixtures on a {device}:\n  {', '.join(kernel_status(device_type))}")


def _print(
    title: str, summaries: Mapping[str, str], details: Mapping[str, dict[str, str]] = NOTHING
) -> None:
    """Print names with what they do, and further texts about each under headings."""
    print(f"{title}:")
    for name, does in summaries.items():
        print(f"  {name:{max(map(len, summaries)) + 2}}{does}")
        for heading, text in details.get(name, {}).items():
            print(textwrap.indent(textwrap.fill(f"{heading}: {text}", 92), "      "))
