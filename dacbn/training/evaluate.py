"""Running a trained network over images, and scoring it where labels exist."""

import torch
from torch import Tensor
from tqdm import tqdm

from dacbn.batch import Output, domain_ids
from dacbn.datasets import Images, LabelledImages, iterate
from dacbn.models import Network

PROGRESS_FROM = 2000  # images; fewer are done before a bar is read


@torch.inference_mode()
def run_network(
    network: Network, images: Images, cluster_id: int, device: torch.device, batch_size: int = 256
) -> Output:
    """Compute features and logits of all images, in order, in evaluation mode, on the CPU.

    Args:
        network: on `device`; left in the mode it was in.
        images: N images.
        cluster_id: which population they are taken for (source 0, target 1).
        device: where to compute.
        batch_size: images at a time.

    Returns:
        features (N, D) and logits (N, num_classes).
    """
    training = network.training
    network.eval()
    outputs = []
    bar = tqdm(
        total=len(images),
        unit="image",
        leave=False,
        disable=None if len(images) >= PROGRESS_FROM else True,
    )
    for batch in iterate(images, batch_size, device):
        ids = domain_ids(len(batch), cluster_id, device)
        outputs.append([tensor.float().cpu() for tensor in network(batch, ids)])
        bar.update(len(batch))
    bar.close()
    network.train(training)
    features, logits = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return Output(features, logits)


def class_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the accuracy within every class (num_classes,); NaN for a class without images."""
    num_classes = logits.shape[1]
    correct = (logits.argmax(1) == labels).double()
    hits = torch.zeros(num_classes, dtype=torch.double).index_add_(0, labels, correct)
    return hits / labels.bincount(minlength=num_classes)


def evaluate(
    network: Network, test: LabelledImages, cluster_id: int, device: torch.device
) -> dict[str, float]:
    """Score a network on labelled images.

    Returns:
        `accuracy` over images, and `class_accuracy`, its mean over the classes present.
    """
    return score_logits(run_network(network, test.images, cluster_id, device).logits, test.labels)


def score_logits(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Score logits (N, num_classes), on the CPU, by labels (N,), as `evaluate` does."""
    labels = labels.cpu()
    return {
        "accuracy": (logits.argmax(1) == labels).double().mean().item(),
        "class_accuracy": class_accuracies(logits, labels).nanmean().item(),
    }
