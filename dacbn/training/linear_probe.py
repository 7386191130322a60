"""Start the classifier as a linear probe of the pretrained features.

Paper: Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054: a classifier that
fits the features from the start leaves them as they are where the source has no say.
Differs from the paper: the probe is scikit-learn's logistic regression of the images themselves,
without random views.
"""

import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from dacbn.batch import SOURCE
from dacbn.datasets import LabelledImages
from dacbn.models import Network
from dacbn.training.features import compute_features
from dacbn.training.validator_inputs import ImageSubset

MAX_IMAGES = 10_000  # more change a probe little and take minutes to fit
MAX_ITERATIONS = 1000


def start_from_probe(
    network: Network, source: LabelledImages, device: torch.device, seed: int = 0
) -> None:
    """Set the classifier to the logistic regression of the source's features.

    Classes without images keep their weights, as all do if there is one class alone.

    Args:
        network: on `device`; its classifier is linear, and changed in place.
        source: labelled images; of many, 10,000 are drawn.
        device: device to compute features on.
        seed: draws the images.

    Raises:
        ValueError: the classifier is not linear.
    """
    if not isinstance(network.classifier, nn.Linear) or network.num_features != _width(network):
        raise ValueError(
            "a probe is one linear layer on the features of the backbone: start from random "
            "weights, or leave out classifier and bottleneck"
        )
    chosen = torch.arange(len(source))
    if len(source) > MAX_IMAGES:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(source), generator=generator)[:MAX_IMAGES].sort().values
    views = compute_features(network, ImageSubset(source.images, chosen), SOURCE, "none", device)
    features, labels = views.values[:, 0].cpu().double().numpy(), source.labels[chosen].numpy()
    if len(set(labels.tolist())) < 2:
        return  # nothing to tell apart
    probe = LogisticRegression(max_iter=MAX_ITERATIONS).fit(features, labels)
    weight, bias = torch.tensor(probe.coef_), torch.tensor(probe.intercept_)
    if len(weight) == 1:  # two classes have one row, of their difference
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    with torch.no_grad():
        network.classifier.weight[probe.classes_] = weight.to(network.classifier.weight)
        network.classifier.bias[probe.classes_] = bias.to(network.classifier.bias)


def _width(network: Network) -> int:
    return network.num_features if isinstance(network.bottleneck, nn.Identity) else 0
