"""What a file says of the network in it."""

import json
from importlib.metadata import version

import torch

from dacbn.export.served_network import ServedNetwork
from dacbn.saved_adapter import SavedAdapter
from dacbn.training.domain_names import name_domains


def describe(adapter: SavedAdapter, served: ServedNetwork) -> dict[str, str]:
    """Return texts by name; lists are JSON."""
    names, ids = name_domains(adapter.config), served.cluster_ids
    size = "any, then resized" if served.resize_to is not None else "image_size"
    about = {
        "classes": json.dumps(adapter.classes),
        "image_size": str(adapter.image_size),
        "input": f"RGB, {'0 to 255' if served.pixels == 'uint8' else '0 to 1'}, size: {size}",
        "fit": adapter.config.fit,
        "domain": json.dumps([names[each] for each in ids if each < len(names)]),
        "backbone": adapter.config.backbone,
        "norm": str(adapter.config.norm),
        "method": str(adapter.config.method),
        "dacbn": version("dacbn"),
        "torch": str(torch.__version__),
    }
    if adapter._threshold is not None:
        about["unknown_threshold"] = str(adapter._threshold)
    return about
