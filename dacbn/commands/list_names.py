"""dacbn list: what can be named on the command line."""

import textwrap
from typing import Any, Literal

from tyro.conf import Positional

from dacbn.datasets import datasets
from dacbn.methods import methods
from dacbn.norms import norms, weights
from dacbn.norms.mixture_kernels import kernel_status
from dacbn.registry import Registry


def list_names(
    kind: Positional[Literal["all", "norms", "weights", "methods", "datasets"]] = "all",
) -> None:
    """List what can be named on the command line; of one kind, with options and papers.

    Args:
        kind: norms, weights (maps of the weights before a norm), methods, datasets, or all.
    """
    kinds: dict[str, Registry[Any]] = {
        "norms": norms,
        "weights": weights,
        "methods": methods,
        "datasets": datasets,
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
        print("backbones:\n  digits_cnn, and the models of timm.list_models()")
        for place, device_type in (("CPU", "cpu"), ("GPU", "cuda")):
            print(f"mixtures on a {place}:\n  {', '.join(kernel_status(device_type))}")
