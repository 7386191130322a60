"""Run a trained network over images, and score it on labelled ones."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dacbn.batch import Output, domain_ids
from dacbn.datasets import Images, LabelledImages, iterate
from dacbn.models import Network, takes_cluster_ids
from dacbn.norms import modes_kept
from dacbn.progress import Progress


@torch.inference_mode()
def run_network(
    network: Network, images: Images, cluster_id: int, device: torch.device, batch_size: int = 256
) -> Output:
    """Compute features and logits of all images, in order, in evaluation mode.

    Args:
        network: on `device`; the modes of its modules are restored afterwards.
        images: N images.
        cluster_id: the domain id passed to the normalisers (source 0, target 1).
        device: device to compute on.
        batch_size: images per forward pass.

    Returns:
        features (N, D) and logits (N, num_classes), on the CPU.
    """
    outputs = []
    with Progress(len(images), "image", "predicting") as progress, modes_kept(network):
        network.eval()
        for batch in iterate(images, batch_size, device):
            ids = domain_ids(len(batch), cluster_id, device)
            outputs.append([tensor.float().cpu() for tensor in network(batch, ids)])
            progress.update(len(batch))
    features, logits = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return Output(features, logits)


def average(outputs: Sequence[Output]) -> Output:
    """Average features and probabilities of several passes over the same images.

    Returns:
        features (N, D), and logits (N, C) that are logarithms of the mean probabilities.
    """
    if len(outputs) == 1:
        return outputs[0]
    features, logits = (torch.stack(parts) for parts in zip(*outputs, strict=True))
    return Output(features.mean(0), logits.log_softmax(2).logsumexp(0) - math.log(len(outputs)))


def run_by_domains(
    network: Network, images: Images, cluster_ids: Sequence[int], device: torch.device
) -> Output:
    """Average what the network answers by the statistics of each of several domains.

    Arguments as in `run_network`.
    """
    if not takes_cluster_ids(network):
        cluster_ids = cluster_ids[:1]  # all answer alike
    return average([run_network(network, images, each, device) for each in cluster_ids])


def class_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the accuracy of every class (num_classes,); NaN for a class without images."""
    num_classes = logits.shape[1]
    correct = (logits.argmax(1) == labels).double()
    hits = torch.zeros(num_classes, dtype=torch.double).index_add_(0, labels, correct)
    return hits / labels.bincount(minlength=num_classes)


def evaluate(
    network: Network, test: LabelledImages, cluster_id: int, device: torch.device
) -> dict[str, float]:
    """Score a network on labelled images.

    Returns:
        "accuracy" over all images, and "class_accuracy", its mean over the classes that occur.
    """
    return score_logits(run_network(network, test.images, cluster_id, device).logits, test.labels)


def score_logits(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Score logits (N, num_classes), on the CPU, with labels (N,); returns as `evaluate`."""
    labels = labels.cpu()
    return {
        "accuracy": (logits.argmax(1) == labels).double().mean().item(),
        "class_accuracy": class_accuracies(logits, labels).nanmean().item(),
    }
