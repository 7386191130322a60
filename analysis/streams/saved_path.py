"""The path of a stream in the file of the arrays behind its figure."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dacbn.streams import LayerPath, StreamPath


def arrays_of(path: StreamPath) -> dict[str, NDArray[Any]]:
    """Return all that a path holds, as arrays by name."""
    return {"images": path.images, "part": path.part, "parts": np.array(path.parts)} | {
        f"{name}/{field}": value
        for name, layer in path.layers.items()
        for field, value in layer._asdict().items()
        if value is not None
    }


def read_path(file: Path) -> StreamPath:
    """Read the path whose figure was drawn, from the arrays (.npz) beside the figure."""
    fields: dict[str, dict[str, Any]] = {}
    with (
        open(file, "rb") as opened,
        np.load(opened) as arrays,
    ):  # is closed also where it is damaged
        for key in arrays.files:
            name, _, field = key.rpartition("/")
            fields.setdefault(name, {})[field] = arrays[key]
    whole = fields.pop("")
    layers = {name: LayerPath(**{"shares": None, **each}) for name, each in fields.items()}
    return StreamPath(whole["images"], whole["part"], tuple(whole["parts"].tolist()), layers)
