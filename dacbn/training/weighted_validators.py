"""Validators that relate the target to the source: by weights, by neighbours, and in reverse."""

import warnings
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from dacbn.training.validator_inputs import ValidatorInputs
from dacbn.training.validators import needs_source, validators

Array = NDArray[np.float64]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the domain classifier, among which it is chosen
LARGEST = 50.0  # logarithm of a weight: what is beyond says no more


@validators.register("dev")
@needs_source
def dev(inputs: ValidatorInputs) -> float:
    """Compute minus the source's loss, weighted to look like the target (DEV).

    You et al., "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation", ICML
    2019, http://proceedings.mlr.press/v97/you19a.html. The domain classifier is a logistic
    regression, and half of the validation images train the one that weighs the other half, where
    the paper trains a network on the training images.
    """
    return -deep_embedded_risk(importance_weights(inputs), source_losses(inputs))


@validators.register("dev_normalised")
@needs_source
def dev_normalised(inputs: ValidatorInputs) -> float:
    """Compute DEV with weights of mean one whose spread is at most one, whatever their size.

    Musgrave et al. 2022 found it to choose better than DEV.
    """
    weights = importance_weights(inputs)
    weights = weights / weights.max()
    return -deep_embedded_risk(weights - weights.mean() + 1, source_losses(inputs))


@validators.register("nearest_source")
@needs_source
def nearest_source(inputs: ValidatorInputs) -> float:
    """Compute the accuracy on each target image's nearest source image, weighted by closeness.

    Nearest are the features of largest cosine, which is the weight unless it is negative.
    """
    source, target = (F.normalize(output.features.double(), dim=1) for output in inputs[::2])
    right = inputs.source.logits.argmax(1) == inputs.source_labels
    closeness, nearest = (target @ source.T).max(1)
    return (right[nearest] * closeness.clamp_min(0)).mean().item()


@validators.register("reverse_validation")
@needs_source
def reverse_validation(inputs: ValidatorInputs) -> float:
    """Compute the source's accuracy of a classifier trained on the target's predicted labels.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
    https://arxiv.org/abs/1505.07818. Here it is a linear classifier of the features at hand, where
    they adapt a whole network back.
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
        weights: density of the target over that of the source at each image, (N,); their mean
            should be one, and how far it is from that corrects the estimate.
        losses: of the same images, (N,).
    """
    weighted = weights * losses
    deviations = weights - weights.mean()
    variance = np.mean(deviations**2)
    eta = -np.mean(weighted * deviations) / variance if variance > 0 else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1))


def importance_weights(inputs: ValidatorInputs) -> Array:
    """Estimate the target's density over the source's at the source's features, (N,).

    Each half of the source is weighed by a domain classifier that saw the other half alone: it
    would know the images it has seen.
    """
    source, target = (output.features.numpy() for output in inputs[::2])
    weights = np.ones(len(source))
    if len(source) < 4 or len(target) < 4:
        return weights
    halves = np.arange(len(source)) % 2
    for half in (0, 1):
        seen, weighed = source[halves != half], source[halves == half]
        domains = np.repeat([0, 1], [len(seen), len(target)])
        search = GridSearchCV(
            _classifier(),
            {"logisticregression__C": STRENGTHS},
            scoring="neg_log_loss",
            cv=2,
        )
        classifier = _fit(search, np.concatenate([seen, target]), domains)
        log_ratio = classifier.decision_function(weighed).clip(-LARGEST, LARGEST)
        weights[halves == half] = np.exp(log_ratio) * len(seen) / len(target)
    return weights


def _classifier() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression())


def _fit(classifier: Any, features: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    with warnings.catch_warnings():  # what a hundred steps find is good enough to compare models
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(features, labels)
