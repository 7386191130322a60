"""Compare what was written with the network, on images of the run."""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dacbn.datasets import TensorImages, to_float
from dacbn.export.sample_images import sample_images
from dacbn.export.served_network import Pixels
from dacbn.saved_adapter import SavedAdapter

LOG = logging.getLogger(__name__)
FARTHEST = 1e-4  # difference of probabilities


def compare(
    adapter: SavedAdapter,
    cluster_id: int | str | None,
    pixels: Pixels,
    answer: Callable[[Tensor], Sequence[Tensor]],
    reader: str,
) -> None:
    """Check that probabilities are those of the network, for batches of several sizes.

    Args:
        adapter: with the network.
        cluster_id: see `predict_proba`.
        pixels: type of the images that `answer` takes.
        answer: computes probabilities and features of images (B, 3, S, S).
        reader: what computes them, in words.

    Raises:
        ValueError: they differ by more than FARTHEST.
    """
    images, words = sample_images(adapter)
    shown = (images * 255).round().byte()
    differences = []
    for part in (shown[:1], shown[1:]):  # by both: some norms answer by the batch
        if len(part):
            expected = adapter.outputs(TensorImages(part), cluster_id).logits.softmax(1)
            with torch.inference_mode():
                found = answer(part if pixels == "uint8" else to_float(part))[0]
            differences.append((found - expected).abs().max())
    away = torch.stack(differences).max().item()  # NaN, if one is
    if not away <= FARTHEST:
        raise ValueError(
            f"{reader} differs from the network by {away:.1e}, more than {FARTHEST:g}, on {words}, "
            "so nothing was written: choose another format"
        )
    LOG.info("%s differs from the network by at most %.1e, on %s", reader, away, words)
