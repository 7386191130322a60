"""Time the answers of networks in torch, compiled by it, and exported to onnxruntime."""

import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.timing import time_candidates
from dacbn.export.onnx_file import open_session, translate
from dacbn.export.program import record
from dacbn.export.served_network import ServedNetwork
from dacbn.models import Network, create_network
from dacbn.models.first_line import first_line
from dacbn.progress import counted

SPECS = ("ucb_norm(num_clusters=2)", "ucb_norm")
CELLS = ((64, 1), (64, 256))  # pixels per side, and images at once
NUM_CLASSES = 10
SEEN = 8  # images from which statistics are estimated


def benchmark_exports(
    specs: Iterable[str] = SPECS,
    backbone: str = "resnet18",
    cells: Iterable[tuple[int, int]] = CELLS,
    rounds: int = 9,
) -> list[Row]:
    """Time the answers to one image and to many, on the CPU, in float32.

    Args:
        specs: normalisers that replace all BatchNorms of the backbone.
        backbone: its name.
        cells: pixels per side, and images at once.
        rounds: how often each is timed, alternating with the others.

    Returns:
        one row per size, number of images, runtime and normaliser: seconds, quartiles, the ratio to
        the backbone's own BatchNorms in the same runtime, and images per second.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
    """
    rows: list[Row] = []
    names = {"its own BatchNorm": None, **{spec: spec for spec in specs}}
    parts = [(cell, runtime) for cell in cells for runtime in RUNTIMES]
    for (size, count), runtime in counted(parts, len(parts), "part", "answers"):
        torch.compiler.reset()  # it gives up after eight networks of one class
        images = torch.rand(count, 3, size, size)
        networks = {name: _network(backbone, norm, size) for name, norm in names.items()}
        runs = _prepared(RUNTIMES[runtime], networks, images, runtime)
        title = f"{runtime}, {count} of {size} pixels"
        for name, timing in time_candidates(runs, rounds, title=title).items() if runs else ():
            cell = {"runtime": runtime, "pixels": size, "images": count, "norm": name}
            speed = {"images_per_second": count / timing.seconds}
            rows.append({**cell, **asdict(timing), **speed})
    return rows


def _network(backbone: str, norm: str | None, size: int) -> Network:
    """Build a network whose statistics are those of a few random images."""
    network = create_network(backbone, norm, NUM_CLASSES)
    with torch.no_grad():
        network.train()(torch.rand(SEEN, 3, size, size))
    return network.eval()


def _prepared(
    prepare: Callable[[Network, Tensor], Callable[[], object]],
    networks: dict[str, Network],
    images: Tensor,
    runtime: str,
) -> dict[str, Callable[[], object]]:
    """Return what is timed; nothing, with a warning, where the compiler is missing."""
    runs: dict[str, Callable[[], object]] = {}
    try:
        for name, network in counted(networks.items(), len(networks), "network", runtime):
            runs[name] = prepare(network, images)
            runs[name]()
    except (RuntimeError, OSError) as error:  # torch's compiler needs one of C++
        warnings.warn(f"{runtime} is not timed: {first_line(error)}", stacklevel=3)
        return {}
    return runs


def _in_torch(network: Network, images: Tensor) -> Callable[[], object]:
    return torch.inference_mode()(lambda: network(images))


def _compiled(network: Network, images: Tensor) -> Callable[[], object]:
    compiled = torch.compile(network)
    return torch.inference_mode()(lambda: compiled(images))


def _in_onnxruntime(network: Network, images: Tensor) -> Callable[[], object]:
    served = ServedNetwork(network, (0,), "float")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        translate(record(served, images.shape[-1]), served.outputs).save(path)
        answer = open_session(path, torch.get_num_threads())
    return lambda: answer(images)


RUNTIMES: dict[str, Callable[[Network, Tensor], Callable[[], object]]] = {
    "torch": _in_torch,
    "torch.compile": _compiled,
    "onnxruntime": _in_onnxruntime,
}
