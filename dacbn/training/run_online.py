"""Run a network over images while it adapts to them."""

import warnings

import torch

from dacbn.batch import Output, domain_ids
from dacbn.datasets import Images, iterate, shuffled_order
from dacbn.methods import OnlineMethod
from dacbn.methods.online import FEW
from dacbn.progress import Progress


def run_online(
    method: OnlineMethod, images: Images, cluster_id: int, device: torch.device, seed: int = 0
) -> Output:
    """Compute features and logits of all images while the network adapts to them.

    Each image is used once. Images are shuffled, because folders list them by class and batches of
    one class have misleading statistics; outputs are in the original order. A warning says when
    there are so few images that stored statistics are mixed in.

    Args:
        method: test-time method whose network is on `device`.
        images: N images.
        cluster_id: the domain id passed to the normalisers (source 0, target 1).
        device: device to compute on.
        seed: seed of the order.

    Returns:
        features (N, D) and logits (N, num_classes), on the CPU.
    """
    count = len(images)
    if count < FEW and method.stored:
        text = "predicts one image as without it" if count == 1 else f"has {count} images"
        warnings.warn(
            f"test-time adaptation {text}: predict at least {FEW} in one call; for fewer, the "
            "statistics of training are mixed in",
            stacklevel=2,
        )
    outputs = []
    with Progress(count, "image", "adapting and predicting") as progress:
        for batch in iterate(images, method.batch_size, device, seed):
            ids = domain_ids(len(batch), cluster_id, device)
            outputs.append([tensor.float().cpu() for tensor in method.predict(batch, ids)])
            progress.update(len(batch))
    positions = shuffled_order(count, seed).argsort()
    features, logits = (torch.cat(parts)[positions] for parts in zip(*outputs, strict=True))
    return Output(features, logits)
