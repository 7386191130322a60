"""Running a network over images while it adapts to them."""

import math

import torch
from tqdm import tqdm

from dacbn.batch import Output, domain_ids
from dacbn.datasets import Images, iterate, shuffled_order
from dacbn.methods import OnlineMethod
from dacbn.training.evaluate import PROGRESS_FROM


def run_online(
    method: OnlineMethod, images: Images, cluster_id: int, device: torch.device, seed: int = 0
) -> Output:
    """Compute features and logits of all images while the network adapts to them, on the CPU.

    Images pass once, in batches of nearly one size, since a last one of few images would have
    poor statistics. They are shuffled, since batches of one class, as folders give them, mislead
    all batch statistics; answers are in the order of the images.

    Args:
        method: holds the network, on `device`.
        images: N images.
        cluster_id: which population they are taken for (source 0, target 1).
        device: where to compute.
        seed: of the order.

    Returns:
        features (N, D) and logits (N, num_classes).
    """
    count = len(images)
    batch_size = math.ceil(count / math.ceil(count / method.batch_size))
    quiet = None if count >= PROGRESS_FROM else True
    outputs = []
    with tqdm(total=count, unit="image", leave=False, disable=quiet) as bar:
        for batch in iterate(images, batch_size, device, seed):
            ids = domain_ids(len(batch), cluster_id, device)
            outputs.append([tensor.float().cpu() for tensor in method.predict(batch, ids)])
            bar.update(len(batch))
    places = shuffled_order(count, seed).argsort()
    features, logits = (torch.cat(parts)[places] for parts in zip(*outputs, strict=True))
    return Output(features, logits)
