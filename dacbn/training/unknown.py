"""Answer "unknown" where an image seems to be of none of the classes.

A network with an output for it answers so where that is the largest; any other where the entropy of
its prediction is above a threshold.
Paper: none; the threshold is that of Otsu, "A Threshold Selection Method from Gray-Level
Histograms", IEEE SMC 1979, on the entropies of the predictions. It needs target images and no
labels: it splits them into a certain and an uncertain part. It therefore always finds some that are
unknown, also where none are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.datasets import UnlabelledImages
from dacbn.losses import entropy
from dacbn.models import Network
from dacbn.spelling import spell
from dacbn.training.evaluation import score_answers
from dacbn.training.validator_inputs import collect_validator_inputs


def find_threshold(
    network: Network,
    targets: Sequence[UnlabelledImages],
    cluster_ids: Sequence[int],
    device: torch.device,
) -> float:
    """Choose the score (see `unknown_scores`) above which answers are "unknown".

    Args:
        network: on `device`.
        targets: unlabelled images of each target, of which a sample is taken.
        cluster_ids: domain id of each target.
        device: device to compute on.
    """
    if network.unknown is not None:
        return 0.0
    found = collect_validator_inputs(network, None, targets, cluster_ids, device)
    return choose_threshold(found.target.logits)


def choose_threshold(logits: Tensor) -> float:
    """Choose the entropy, in nats, that splits predictions with logits (N, C) best into two parts.

    Of all splits it has the largest variance between the two parts.

    Example:
        >>> certain, uncertain = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.1, 0.0]])
        >>> 0.01 < choose_threshold(torch.cat([certain, uncertain, uncertain])) < 0.69
        True
    """
    values = entropy(logits.double()).sort().values
    count, sums = len(values), values.cumsum(0)
    below = torch.arange(1, count, dtype=torch.float64)
    means = sums[:-1] / below, (sums[-1] - sums[:-1]) / (count - below)
    between = below * (count - below) * (means[0] - means[1]) ** 2
    if not len(between):
        return values[-1].item()
    place = int(between.argmax())
    return (values[place] + values[place + 1]).item() / 2


@torch.no_grad()
def unknown_scores(network: Network, output: Output) -> Tensor:
    """Return how much each image seems to be of an unknown class, float64 (N,), on the CPU.

    It is the entropy of its prediction, in nats; or the logit of the network's own output for it
    minus the largest logit of a class.
    """
    if network.unknown is None:
        return entropy(output.logits.double())
    features = output.features.to(network.unknown.weight)
    own = network.unknown_logits(features)[:, 0].cpu().double()
    return own - output.logits.double().amax(1)


def answer(network: Network, output: Output, threshold: float | None) -> Tensor:
    """Return the label of each image, int64 (N,): a class in 0..C-1, or C, which is "unknown".

    Args:
        network: the network.
        output: its features (N, D) and logits (N, C), on the CPU.
        threshold: score above which an answer is "unknown"; None gives known classes.
    """
    labels = output.logits.argmax(1)
    if threshold is None:
        return labels
    return labels.masked_fill(unknown_scores(network, output) > threshold, output.logits.shape[1])


def score_output(
    network: Network, output: Output, labels: Tensor, threshold: float | None
) -> dict[str, float]:
    """Score outputs, on the CPU, with labels (N,), of which C are unknown; see `score_answers`."""
    return score_answers(answer(network, output, threshold), labels, output.logits.shape[1])


def describe_threshold(network: Network, threshold: float) -> str:
    """Say in words when answers are "unknown"."""
    if network.unknown is None:
        return f'answers are "unknown" above an entropy of {threshold:.3g} nats'
    return 'answers are "unknown" where the network\'s output for it is the largest'


def require_threshold(unknown: bool, threshold: float | None) -> None:
    """Check that a network which may answer "unknown" has a threshold.

    Raises:
        ValueError: its training ended before the first was chosen.
    """
    if unknown and threshold is None:
        raise ValueError(
            f"there is no threshold for {spell('unknown')} yet, which is chosen with the scores: "
            f"train on, or set {spell('eval_every')} lower"
        )
