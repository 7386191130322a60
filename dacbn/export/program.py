"""A trained network as a program of torch.export: what the formats onnx and torch begin with."""

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from dacbn.export.served_network import Pixels, ServedNetwork
from dacbn.models.first_line import first_line
from dacbn.saved_adapter import SavedAdapter
from dacbn.training import answering_ids


def serve(
    adapter: SavedAdapter, cluster_id: int | str | None, pixels: Pixels, resize: bool
) -> ServedNetwork:
    """Return the network of an adapter as others call it.

    Raises:
        ValueError: it is in training mode, or there is no such domain.
    """
    network = adapter.network
    if network.training:
        raise ValueError(
            "the network is in training mode, in which it answers by the batch: call "
            "adapter.network.eval() before"
        )
    return ServedNetwork(
        network,
        answering_ids(network, adapter.config, cluster_id),
        pixels,
        adapter.image_size if resize else None,
        adapter.config.fit,
        adapter.config.unknown,
    )


def record(served: ServedNetwork, image_size: int) -> ExportedProgram:
    """Record what a network computes, for any number of images, and of any size if it resizes.

    Raises:
        ValueError: torch cannot record it.
    """
    if not hasattr(torch.compiler, "is_exporting"):
        raise ValueError(f"torch {torch.__version__} is too old to export: install 2.7 or newer")
    images, sizes = example_images(served.pixels, image_size), {0: Dim("batch")}
    if served.resize_to is not None:
        sizes |= {2: Dim("height"), 3: Dim("width")}
        images = images.repeat_interleave(2, 3)  # not square, so that the sides are told apart
    with torch.no_grad():
        served(images)  # layers may choose their form by the first input
        try:
            return torch.export.export(served, (images,), dynamic_shapes=(sizes,))
        except Exception as error:  # of many kinds: from torch's tracer, and from the layers
            raise ValueError(
                f"torch.export cannot record the network ({first_line(error)}): layers that decide "
                "by values or by the size of a batch have to be replaced"
            ) from error


def example_images(pixels: Pixels, image_size: int) -> Tensor:
    """Return a batch of black images."""
    dtype = torch.uint8 if pixels == "uint8" else torch.float32
    return torch.zeros(2, 3, image_size, image_size, dtype=dtype)
