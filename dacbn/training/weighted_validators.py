"""Validators that relate target and source: by weights, neighbours, or reverse validation."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from dacbn.training.validator_inputs import ValidatorInputs
from dacbn.training.validators import needs_source, validators

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Array = NDArray[np.float64]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # candidates for C of the domain classifier
MAX_LOG_WEIGHT = 50.0  # larger logarithms of a weight are clipped


@validators.register("dev")
@needs_source
def dev(inputs: ValidatorInputs) -> float:
    """Compute minus the source's loss, weighted to look like the target (DEV).

    You et al., "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation", ICML
    2019, http://proceedings.mlr.press/v97/you19a.html. The domain classifier is a logistic
    regression, cross-fitted on halves of the validation images, where the paper trains a network on
    the training images.
    """
    return -deep_embedded_risk(importance_weights(inputs), source_losses(inputs))


@validators.register("dev_normalised")
@needs_source
def dev_normalised(inputs: ValidatorInputs) -> float:
    """Compute DEV with normalised weights: mean one, and a range of at most one.

    Musgrave et al. 2022 found it to select better than DEV.
    """
    weights = importance_weights(inputs)
    weights = weights / weights.max()
    return -deep_embedded_risk(weights - weights.mean() + 1, source_losses(inputs))


@validators.register("nearest_source")
@needs_source
def nearest_source(inputs: ValidatorInputs) -> float:
    """Compute the accuracy on each target image's nearest source image, weighted by similarity.

    The nearest image has the largest cosine similarity of features; the weight is that similarity,
    or 0 if it is negative.
    """
    source, target = (F.normalize(output.features.double(), dim=1) for output in inputs[::2])
    correct = inputs.source.logits.argmax(1) == inputs.source_labels
    similarity, nearest = (target @ source.T).max(1)
    return (correct[nearest] * similarity.clamp_min(0)).mean().item()


@validators.register("reverse_validation")
@needs_source
def reverse_validation(inputs: ValidatorInputs) -> float:
    """Compute the accuracy on the source of a classifier trained on predicted target labels.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
    https://arxiv.org/abs/1505.07818. Here it is a linear classifier on the network's features,
    where the paper adapts a whole network in the reverse direction.
    """
    features, labels = inputs.target.features.numpy(), inputs.target.logits.argmax(1).numpy()
    if len(np.unique(labels)) == 1:
        return float((inputs.source_labels == labels[0]).double().mean())
    reverse = _fit(_classifier(), features, labels)
    return float(reverse.score(inputs.source.features.numpy(), inputs.source_labels.numpy()))


def source_losses(inputs: ValidatorInputs) -> Array:
    """Compute the cross-entropy of each of the source's validation images, (N,)."""
    losses = F.cross_entropy(inputs.source.logits.double(), inputs.source_labels, reduction="none")
    array: Array = losses.numpy()
    return array


def deep_embedded_risk(weights: Array, losses: Array) -> float:
    """Estimate the mean loss on the target, with the weights' mean as a control variate.

    Args:
        weights: ratio of the target's density to the source's at each image, (N,); their mean
            should be one, and its deviation from one corrects the estimate.
        losses: losses of the same images, (N,).
    """
    weighted = weights * losses
    deviations = weights - weights.mean()
    variance = np.mean(deviations**2)
    eta = -np.mean(weighted * deviations) / variance if variance > 0 else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1))


def importance_weights(inputs: ValidatorInputs) -> Array:
    """Estimate the ratio of the target's density to the source's at the source's features, (N,).

    Cross-fitting: each half of the source is weighted by a domain classifier trained on the other
    half, because a classifier is overconfident on images that it was trained on.
    """
    from sklearn.model_selection import GridSearchCV

    source, target = (output.features.numpy() for output in inputs[::2])
    weights = np.ones(len(source))
    if len(source) < 4 or len(target) < 4:
        return weights
    halves = np.arange(len(source)) % 2
    for half in (0, 1):
        seen, held_out = source[halves != half], source[halves == half]
        domains = np.repeat([0, 1], [len(seen), len(target)])
        search = GridSearchCV(
            _classifier(),
            {"logisticregression__C": STRENGTHS},
            scoring="neg_log_loss",
            cv=2,
        )
        classifier = _fit(search, np.concatenate([seen, target]), domains)
        log_ratio = classifier.decision_function(held_out).clip(-MAX_LOG_WEIGHT, MAX_LOG_WEIGHT)
        weights[halves == half] = np.exp(log_ratio) * len(seen) / len(target)
    return weights


def _classifier() -> "Pipeline":
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def _fit(classifier: Any, features: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():  # a hundred iterations are enough to compare models
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(features, labels)
