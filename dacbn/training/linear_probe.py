"""Start the classifier as a linear probe of the pretrained features.

Paper: Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054: a classifier that
fits the features from the start leaves them as they are where the source has no say.
Differs from the paper: the probe is scikit-learn's logistic regression of the images themselves,
without random views.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from dacbn.datasets import LabelledImages, listed
from dacbn.models import CosineClassifier, Network
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import num_sources
from dacbn.training.domains import TrainingDomains
from dacbn.training.features import compute_features
from dacbn.training.metrics import TEST_ACCURACY
from dacbn.training.right_answers import save_right
from dacbn.training.score_intervals import describe_score
from dacbn.training.validator_inputs import split_rows

LOG = logging.getLogger(__name__)
MAX_IMAGES = 10_000  # more change a probe little and take minutes to fit
MAX_ITERATIONS = 1000


def start_as_probe(
    network: Network,
    domains: TrainingDomains,
    config: TrainConfig,
    device: torch.device,
    folder: Path | None = None,
) -> None:
    """Start a training from a probe on its sources; log the scores of that, and keep what is right.

    Raises:
        StorageError: the run folder cannot be written.
    """
    sources = listed(domains.sources)
    start_from_probe(network, sources, device, config.seed, num_sources=num_sources(config))
    scorer = domains.scorer(device)
    log_probe(scorer, network)
    if scorer is not None:
        save_right(folder, scorer.right, start=True)


def start_from_probe(
    network: Network,
    sources: Sequence[LabelledImages],
    device: torch.device,
    seed: int = 0,
    num_sources: int = 1,
) -> None:
    """Set the classifier to the logistic regression of the source's features.

    Classes without images keep their weights, as all do if there is one class alone.

    Args:
        network: on `device`; its classifier is linear, and changed in place.
        sources: labelled images of each source; of many, 10,000 are drawn.
        device: device to compute features on.
        seed: draws the images.
        num_sources: number of domain ids that belong to sources.

    Raises:
        ValueError: the classifier is not linear.
    """
    from sklearn.linear_model import LogisticRegression

    if not isinstance(network.classifier, nn.Linear) or network.num_features != _width(network):
        raise ValueError(
            "a probe is one linear layer on the features of the backbone: start from random "
            "weights, or leave out classifier and bottleneck"
        )
    count = sum(map(len, sources))
    chosen = torch.arange(count)
    if count > MAX_IMAGES:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(count, generator=generator)[:MAX_IMAGES].sort().values
    subsets = split_rows([source.images for source in sources], chosen)
    views = [
        compute_features(network, subset, min(domain, num_sources - 1), "none", device)
        for domain, subset in enumerate(subsets)
        if len(subset)
    ]
    features = torch.cat([each.values[:, 0].cpu() for each in views]).double()
    if isinstance(network.classifier, CosineClassifier):
        features = F.normalize(features) / network.classifier.temperature
    labels = torch.cat([source.labels.cpu() for source in sources])[chosen].numpy()
    if len(set(labels.tolist())) < 2:
        return  # nothing to tell apart
    biased = network.classifier.bias is not None
    probe = LogisticRegression(max_iter=MAX_ITERATIONS, fit_intercept=biased)
    probe.fit(features.numpy(), labels)
    weight, bias = torch.tensor(probe.coef_), torch.tensor(probe.intercept_)
    if len(weight) == 1:  # two classes have one row, of their difference
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    with torch.no_grad():
        network.classifier.weight[probe.classes_] = weight.to(network.classifier.weight)
        if biased:
            network.classifier.bias[probe.classes_] = bias.to(network.classifier.bias)


def log_probe(scorer: Callable[[Network], dict[str, float]] | None, network: Network) -> None:
    """Log what the linear probe of the pretrained features reaches, for comparison."""
    scores = {} if scorer is None else scorer(network)
    shown = "".join(
        f", {name} test accuracy {describe_score(scores, name, network.num_classes)}"
        for name, key in TEST_ACCURACY.items()
        if key in scores
    )
    LOG.info("the classifier starts as a linear probe of the features%s", shown)


def _width(network: Network) -> int:
    return network.num_features if isinstance(network.bottleneck, nn.Identity) else 0
