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
from torch import Tensor, nn

from dacbn.datasets import FeatureViews, Images, LabelledImages, listed
from dacbn.models import CosineClassifier, Network
from dacbn.training.class_centres import move_to_centres
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import num_sources
from dacbn.training.domains import TrainingDomains
from dacbn.training.features import compute_features
from dacbn.training.metrics import TEST_ACCURACY
from dacbn.training.right_answers import save_right
from dacbn.training.score_intervals import describe_score
from dacbn.training.validator_inputs import ImageSubset, split_rows

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

    From there `classifier_start="centres"` moves on to the class centres of both domains, unless
    the target is a stream or there is none.

    Raises:
        StorageError: the run folder cannot be written.
    """
    sources = listed(domains.sources)
    fitted = start_from_probe(network, sources, device, config.seed, num_sources(config))
    scorer = domains.scorer(device)
    log_probe(scorer, network)
    if scorer is not None:
        save_right(folder, scorer.right, start=True)
    if config.classifier_start == "centres" and (targets := domains.listed_targets):
        images, ids = [each.images for each in targets], domains.ids[len(sources) :]
        features, _ = _draw_features(network, images, ids, device, config.seed)
        assert isinstance(network.classifier, nn.Linear), "start_from_probe refuses others"
        if move_to_centres(network.classifier, *fitted, features):
            LOG.info("the classifier moves on to the class centres of source and target")


def start_from_probe(
    network: Network,
    sources: Sequence[LabelledImages],
    device: torch.device,
    seed: int = 0,
    num_sources: int = 1,
) -> tuple[Tensor, Tensor]:
    """Set the classifier to the logistic regression of the source's features.

    Classes without images keep their weights, as all do if there is one class alone.

    Args:
        network: on `device`; its classifier is linear, and changed in place.
        sources: labelled images of each source; of many, 10,000 are drawn.
        device: device to compute features on.
        seed: draws the images.
        num_sources: number of domain ids that belong to sources.

    Returns:
        What it is fitted to: features (N, D) as the classifier takes them, and labels int64 (N,).

    Raises:
        ValueError: the classifier is not linear.
    """
    from sklearn.linear_model import LogisticRegression

    if not isinstance(network.classifier, nn.Linear) or network.num_features != _width(network):
        raise ValueError(
            "a probe is one linear layer on the features of the backbone: start from random "
            "weights, or leave out classifier and bottleneck"
        )
    images = [source.images for source in sources]
    ids = [min(domain, num_sources - 1) for domain in range(len(sources))]
    features, chosen = _draw_features(network, images, ids, device, seed)
    labels = torch.cat([source.labels.cpu() for source in sources])[chosen]
    if len(torch.unique(labels)) < 2:
        return features, labels  # nothing to tell apart
    biased = network.classifier.bias is not None
    probe = LogisticRegression(max_iter=MAX_ITERATIONS, fit_intercept=biased)
    probe.fit(features.numpy(), labels.numpy())
    weight, bias = torch.tensor(probe.coef_), torch.tensor(probe.intercept_)
    if len(weight) == 1:  # two classes have one row, of their difference
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    with torch.no_grad():
        network.classifier.weight[probe.classes_] = weight.to(network.classifier.weight)
        if biased:
            network.classifier.bias[probe.classes_] = bias.to(network.classifier.bias)
    return features, labels


def _draw_features(
    network: Network, images: Sequence[Images], ids: Sequence[int], device: torch.device, seed: int
) -> tuple[Tensor, Tensor]:
    """Compute features of at most 10,000 images as the classifier takes them, and draw these.

    Args:
        network: on `device`.
        images: images of each domain, or features in their place.
        ids: the id of each domain.
        device: device to compute on.
        seed: draws the images.

    Returns:
        Features (N, D), float64 on the CPU, and which of all images they are, int64 (N,).
    """
    count = sum(map(len, images))
    chosen = torch.arange(count)
    if count > MAX_IMAGES:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(count, generator=generator)[:MAX_IMAGES].sort().values
    parts = [
        _features_of(network, subset, domain, device)
        for domain, subset in zip(ids, split_rows(images, chosen), strict=True)
        if len(subset)
    ]
    features = torch.cat([each.cpu() for each in parts]).double()
    if isinstance(network.classifier, CosineClassifier):
        features = F.normalize(features) / network.classifier.temperature
    return features, chosen


def _features_of(
    network: Network, subset: ImageSubset, cluster_id: int, device: torch.device
) -> Tensor:
    if isinstance(subset.images, FeatureViews):  # computed before
        return subset.images.values[subset.rows, 0]
    return compute_features(network, subset, cluster_id, "none", device).values[:, 0]


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
