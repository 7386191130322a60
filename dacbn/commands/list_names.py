"""dacbn list: the registered names."""

import textwrap
from typing import Any, Literal

from tyro.conf import Positional

from dacbn.datasets import datasets
from dacbn.estimates import estimators as accuracy_estimators
from dacbn.export import formats
from dacbn.label_shift import estimators
from dacbn.methods import methods, source_free_methods, test_time_methods
from dacbn.models.backbones import OWN
from dacbn.norms import norms, weights
from dacbn.norms.mixture.kernels.choose import kernel_status
from dacbn.recipes import recipes
from dacbn.registry import Registry
from dacbn.training import validators

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
]


def list_names(
    kind: Positional[Kind] = "all",
) -> None:
    """List registered names; for a single kind, with options and papers.

    Args:
        kind: norms, weights (parametrizations of the weights before a norm), methods, source-free
            methods (for dacbn adapt), test-time methods (for dacbn predict --adapt), label-shift
            estimators (for dacbn predict and evaluate --label-shift), estimators (of the target's
            accuracy without its labels), validators (scores without target labels), datasets,
            recipes, formats (for dacbn export), or all.
    """
    kinds: dict[str, Registry[Any]] = {
        "norms": norms,
        "weights": weights,
        "methods": methods,
        "source-free": source_free_methods,
        "test-time": test_time_methods,
        "label-shift": estimators,
        "estimators": accuracy_estimators,
        "validators": validators,
        "datasets": datasets,
        "recipes": recipes,
        "formats": formats,
    }
    for title, registry in kinds.items():
        if kind not in ("all", title):
            continue
        print(f"{title}:")
        for name in registry:
            about = registry.describe(name)
            print(f"  {name:{max(map(len, registry)) + 2}}{about.pop('does')}")
            for heading, text in about.items() if kind == title and title != "datasets" else ():
                print(textwrap.indent(textwrap.fill(f"{heading}: {text}", 92), "      "))
    if kind == "all":
        print(f"backbones:\n  {', '.join(OWN)}, and the models of timm.list_models()")
        for device, device_type in (("CPU", "cpu"), ("GPU", "cuda")):
            print(f"mixtures on a {device}:\n  {', '.join(kernel_status(device_type))}")
