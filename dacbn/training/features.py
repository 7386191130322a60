"""Run a frozen backbone once over all images, so that heads are trained on its features."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from dacbn.batch import domain_ids
from dacbn.datasets import Family, FeatureViews, Images, iterate, weak_view
from dacbn.models import Network
from dacbn.norms import modes_kept
from dacbn.progress import Progress
from dacbn.training.shared_features import find_features

VIEWS = 4  # of each image for training: itself and random ones
MAX_BYTES = 4 * 2**30  # of the features of a domain in memory; more have one view, in a file
BATCH_SIZE = 64


def compute_features(
    network: Network,
    images: Images,
    cluster_id: int,
    family: Family,
    device: torch.device,
    seed: int = 0,
) -> FeatureViews:
    """Compute what the backbone makes of images and of random views, in evaluation mode.

    Args:
        network: on `device`; the modes of its modules are restored afterwards.
        images: N images.
        cluster_id: the domain id passed to the normalisers (source 0, target 1).
        family: augmentation family of the views; "none" makes one view, the image itself.
        device: device to compute on, and where features stay, unless they are in a file.
        seed: seed of the views; the image itself is the same for all seeds.

    Raises:
        StorageError: a file of them cannot be written.
    """
    views = 1 if family == "none" else VIEWS
    width = network.backbone_width
    fitting = MAX_BYTES // (4 * width * len(images))
    views = max(1, min(views, fitting))
    drawn = seed if views > 1 else None
    run = partial(_run, network, images, cluster_id, family, device, drawn or 0, views)
    shape, which = (len(images), views, width), (cluster_id, family, device.type, views)
    values = find_features(run, shape, network, images, drawn, *which, in_a_file=not fitting)
    return FeatureViews(values, images.size)


@torch.no_grad()
def _run(
    network: Network,
    images: Images,
    cluster_id: int,
    family: Family,
    device: torch.device,
    seed: int,
    views: int,
) -> Iterator[Tensor]:
    """Yield the features (B, V, D) of batches."""
    generator = torch.Generator(device).manual_seed(seed)
    bar = Progress(views * len(images), "view", "features")
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with bar, modes_kept(network), forked:
        torch.manual_seed(seed)  # for layers that draw numbers: a resumed run has the same
        network.eval()
        for batch in iterate(images, BATCH_SIZE, device):
            ids = domain_ids(len(batch), cluster_id, device)
            drawn = [weak_view(batch, family, generator) for _ in range(views - 1)]
            seen = [network.run_backbone(view, ids) for view in (batch, *drawn)]
            bar.update(views * len(batch))
            yield torch.stack(seen, dim=1)
