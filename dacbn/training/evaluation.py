"""Run a trained network over images, and score it on labelled ones."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import fmean

import torch
from torch import Tensor

from dacbn.batch import Output, domain_ids
from dacbn.datasets import Images, LabelledImages, iterate
from dacbn.models import Network, takes_cluster_ids
from dacbn.norms import modes_kept
from dacbn.processes import tell_all, turns
from dacbn.progress import Progress
from dacbn.training.metrics import OF_DOMAIN

IMAGES = "images"  # how many were scored


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
        features (N, D) and logits (N, num_classes), on the CPU. On several processes each runs its
        batches, and all get the outputs of all.
    """
    whole: list[Tensor] = []  # filled in place: batches that are joined take twice the memory
    rows: list[slice] = []
    with Progress(len(images), "image", "predicting") as progress, modes_kept(network):
        network.eval()
        for batch in iterate(images, batch_size, device, turns=turns()):
            output = network(batch, domain_ids(len(batch), cluster_id, device))
            whole = whole or [
                torch.empty(len(images), each.shape[1], dtype=torch.float32) for each in output
            ]
            start = rows[-1].stop if rows else 0
            rows.append(slice(start, start + len(batch)))
            for known, tensor in zip(whole, output, strict=True):
                known[rows[-1]] = tensor
            progress.update(len(batch))
    if turns() == slice(None):
        return Output(*whole)
    # each process ran every W-th batch
    batches = zip_longest(*tell_all([[known[each].clone() for known in whole] for each in rows]))
    outputs = [output for each in batches for output in each if output is not None]
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
    return _accuracies(logits.argmax(1), labels, logits.shape[1])


def _accuracies(answers: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    correct = (answers == labels).double()
    hits = torch.zeros(num_classes, dtype=torch.double).index_add_(0, labels, correct)
    return hits / labels.bincount(minlength=num_classes)


def evaluate(
    network: Network, test: LabelledImages, cluster_id: int, device: torch.device
) -> dict[str, float]:
    """Score a network on labelled images.

    Returns:
        see `score_answers`.
    """
    logits = run_network(network, test.images, cluster_id, device).logits
    return score_answers(logits.argmax(1), test.labels, logits.shape[1])


def score_answers(answers: Tensor, labels: Tensor, num_classes: int) -> dict[str, float]:
    """Score answers (N,), on the CPU, with labels (N,).

    Args:
        answers: classes in 0..num_classes-1, or num_classes, which is "unknown".
        labels: the same.
        num_classes: number of known classes.

    Returns:
        "accuracy" over all images, "class_accuracy", its mean over the classes that occur, and
        "images", how many there are. "classes_present", the number of known classes that occur, if
        some do not. If unknown images occur: "known_accuracy", the mean over known classes,
        "unknown_accuracy", and "h_score", their harmonic mean.

    Example:
        >>> answers, labels = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 2, 2])
        >>> scores = score_answers(answers, labels, num_classes=2)
        >>> scores["known_accuracy"], scores["unknown_accuracy"], scores["classes_present"]
        (0.5, 1.0, 1.0)
    """
    labels = labels.cpu()
    open_set = bool((labels == num_classes).any())
    accuracies = _accuracies(answers, labels, num_classes + open_set)
    scores = {
        "accuracy": (answers == labels).double().mean().item(),
        "class_accuracy": accuracies.nanmean().item(),
        IMAGES: float(len(labels)),
    }
    known = accuracies[:num_classes]
    present = int((~known.isnan()).sum())
    if present < num_classes:
        scores["classes_present"] = float(present)
    if open_set and present:
        of_known, of_unknown = known.nanmean().item(), accuracies[num_classes].item()
        scores |= {"known_accuracy": of_known, "unknown_accuracy": of_unknown}
        both = of_known + of_unknown
        scores["h_score"] = 2 * of_known * of_unknown / both if both else 0.0
    return scores


def name_scores(
    kind: str, scores: Mapping[str, dict[str, float]], several: bool = False
) -> dict[str, float]:
    """Return scores as records name them: the mean of domains, and those of each of several.

    A measure that only some domains have is not averaged; images are added up.

    Args:
        kind: "source_test" or "target_test".
        scores: measures by domain.
        several: whether there are others of the kind, which are not scored.

    Example:
        >>> name_scores("target_test", {"usps": {"accuracy": 0.5}, "svhn": {"accuracy": 1.0}})
        {'target_test_accuracy': 0.75, 'target_test_accuracy/usps': 0.5, ...}
    """
    measures = list(dict.fromkeys(name for each in scores.values() for name in each))
    named = {
        f"{kind}_{measure}": (sum if measure == IMAGES else fmean)(
            [each[measure] for each in scores.values()]
        )
        for measure in measures
        if all(measure in each for each in scores.values())
    }
    if several or len(scores) > 1:
        named |= {
            f"{kind}_{measure}{OF_DOMAIN}{domain}": each[measure]
            for measure in measures
            for domain, each in scores.items()
            if measure in each
        }
    return named
