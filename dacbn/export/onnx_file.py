"""Files of ONNX, by torch's exporter."""

import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from dacbn.export.about import describe
from dacbn.export.comparison import compare
from dacbn.export.draft import write_whole
from dacbn.export.formats import formats
from dacbn.export.program import record, serve
from dacbn.export.served_network import Pixels
from dacbn.models.first_line import first_line
from dacbn.norms.controls.gates import FrozenGateNorm, RandomGateNorm
from dacbn.saved_adapter import SavedAdapter

OPSET = 18
LARGEST = 2**31 - 2**20  # bytes of a file: protobuf's limit, and room for the graph


@formats.add("onnx", file="model.onnx")
def write_onnx(
    adapter: SavedAdapter,
    path: Path,
    cluster_id: int | str | None,
    *,
    pixels: Pixels = "uint8",
    resize: bool = False,
) -> None:
    """Write a file of ONNX: images in, class probabilities and features out.

    Args:
        adapter: with a trained network.
        path: the file. Weights above 2 GB are in a second one beside it, PATH.data.
        cluster_id: the domain that the file answers for.
        pixels: type of the images: uint8, or float in [0, 1].
        resize: whether the file resizes images of any size.

    Raises:
        ValueError: the network has no form in ONNX, or onnxruntime answers differently.
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        StorageError: the file cannot be written.
    """
    runtime = _require("onnxruntime", "onnx", "onnxscript")
    served = serve(adapter, cluster_id, pixels, resize)
    _check_controls(served.network)
    written = translate(record(served, adapter.image_size), served.outputs)
    written.model.metadata_props.update(describe(adapter, served) | {"opset": str(OPSET)})

    def write(draft: Path) -> None:
        large = sum(each.nbytes for each in served.state_dict().values()) > LARGEST
        written.save(draft, external_data=large)
        reader = f"onnxruntime {runtime.__version__}"
        compare(adapter, cluster_id, pixels, open_session(draft), reader)

    write_whole(path, write)


def translate(program: ExportedProgram, outputs: tuple[str, ...]) -> Any:
    """Translate a program to ONNX.

    Raises:
        ValueError: ONNX has no such operators.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says to those who maintain its exporter
            return torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=list(outputs),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = first_line(error.__cause__ or error)
        raise ValueError(f"ONNX has no operators for the network: {reason}") from error


def open_session(path: Path, threads: int = 0) -> Callable[[Tensor], list[Tensor]]:
    """Return a function that computes the outputs of a file on the CPU.

    Args:
        path: the file.
        threads: of the processor; 0 takes all.
    """
    runtime = _require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def answer(images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(each) for each in session.run(None, {"images": images.numpy()})]

    return answer


def _require(*names: str) -> Any:
    """Import packages, and return the first.

    Raises:
        ImportError: one is not installed.
    """
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise ModuleNotFoundError(
                f"files of ONNX need {name}: pip install 'dacbn[onnx]'", name=name
            ) from error
    return import_module(names[0])


def _check_controls(network: torch.nn.Module) -> None:
    """Raise ValueError for controls that hash the bits of numbers, which ONNX cannot read."""
    layers = [each for each in network.modules() if isinstance(each, RandomGateNorm)]
    if any(not isinstance(each, FrozenGateNorm) for each in layers):
        raise ValueError(
            "random_gate_norm hashes the bits of activations, which ONNX cannot read: write "
            "another format, such as torch"
        )
    if getattr(network, "id_source", "domain") == "random":
        raise ValueError(
            "random ids hash the bits of images, which ONNX cannot read: write another format, "
            "such as torch"
        )
