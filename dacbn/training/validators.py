"""Validators: scores for model selection without target labels.

A validator is a function from `ValidatorInputs` to a score; higher means the validator prefers the
model. None is always right: the best one differs between methods (Musgrave et al., "Three New
Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", 2022,
https://arxiv.org/abs/2208.07360). Those in this file use the outputs on one domain; those in
`weighted_validators` relate the two domains.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import Tensor

from dacbn import losses
from dacbn.methods.bnm import mean_nuclear_norm
from dacbn.methods.information_maximisation import mutual_information
from dacbn.registry import Registry
from dacbn.training.validator_inputs import ValidatorInputs, sample_rows

TEMPERATURE = 0.05  # of soft neighbourhoods in SND, as published
CHUNK = 256  # rows of the pairwise similarities that are computed at a time

Validator: TypeAlias = Callable[[ValidatorInputs], float]

validators: Registry[Validator] = Registry("validator", "dacbn.training")


def needs_source(score: Validator) -> Validator:
    """Mark a validator that cannot be computed without the source."""
    score.needs = ("the source",)  # type: ignore[attr-defined]  # shown by dacbn list
    return score


def without_source(names: Iterable[str]) -> list[str]:
    """Keep the names of validators that do not need the source.

    Raises:
        UnknownNameError: there is no validator of that name.
    """
    return [name for name in names if not getattr(validators[name], "needs", ())]


def without_target(names: Iterable[str]) -> list[str]:
    """Keep the names of validators that do not look at the target.

    Raises:
        UnknownNameError: there is no validator of that name.
    """
    return [name for name in names if validators[name] is source_accuracy]


def validate(inputs: ValidatorInputs, names: Iterable[str]) -> dict[str, float]:
    """Compute validators by name; all are NaN if any output of the network is infinite or NaN.

    Raises:
        UnknownNameError: there is no validator of that name.
    """
    outputs = (*inputs.source, *inputs.target)
    finite = all(bool(tensor.isfinite().all()) for tensor in outputs)
    chosen = {name: validators[name] for name in names}
    return {name: score(inputs) if finite else math.nan for name, score in chosen.items()}


@validators.register("source_accuracy")
@needs_source
def source_accuracy(inputs: ValidatorInputs) -> float:
    """Compute the accuracy on the source's validation images, a share."""
    return (inputs.source.logits.argmax(1) == inputs.source_labels).double().mean().item()


@validators.register("entropy")
def entropy(inputs: ValidatorInputs) -> float:
    """Compute minus the mean entropy of target predictions, in nats: confidence."""
    return -losses.entropy(inputs.target.logits.double()).mean().item()


@validators.register("information_maximisation")
def information_maximisation(inputs: ValidatorInputs) -> float:
    """Compute the mutual information of target image and prediction: confidence and diversity."""
    return mutual_information(inputs.target.logits.double()).item()


@validators.register("bnm")
def bnm(inputs: ValidatorInputs) -> float:
    """Compute the nuclear norm of the target predictions, per image: confidence and diversity.

    Musgrave et al. 2022 found it to select well where the source's accuracy is uninformative.
    """
    return mean_nuclear_norm(inputs.target.logits.double()).item()


@validators.register("snd")
def snd(inputs: ValidatorInputs) -> float:
    """Compute the mean entropy of soft neighbourhoods of target predictions (SND): density.

    Saito et al., "Tune it the Right Way", ICCV 2021, https://arxiv.org/abs/2108.10860.
    """
    rows = sample_rows(len(inputs.target.logits))
    predictions = inputs.target.logits[rows].double().softmax(1)
    if len(predictions) < 2:
        return 0.0
    return neighbourhood_entropy(torch.nn.functional.normalize(predictions, dim=1))


def neighbourhood_entropy(points: Tensor) -> float:
    """Compute the mean entropy, in nats, of the soft neighbours of unit vectors (N, C)."""
    total = torch.zeros((), dtype=points.dtype)
    for first in range(0, len(points), CHUNK):
        similarity = points[first : first + CHUNK] @ points.T / TEMPERATURE
        similarity.diagonal(first).fill_(-math.inf)  # a point is not its own neighbour
        total += torch.special.entr(similarity.softmax(1)).sum()
    return (total / len(points)).item()


@validators.register("class_ami")
def class_ami(inputs: ValidatorInputs) -> float:
    """Compute the agreement of clusters of target features with predicted classes (ClassAMI).

    It is their adjusted mutual information, 0 by chance and 1 at best (Musgrave et al. 2022). It
    may favour normalisers that form clusters, regardless of the accuracy.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_mutual_info_score

    features, logits = inputs.target
    clusters = KMeans(min(logits.shape[1], len(features)), n_init=1, random_state=0)
    with warnings.catch_warnings():  # fewer distinct features than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = clusters.fit_predict(features.numpy())
    return float(adjusted_mutual_info_score(logits.argmax(1).numpy(), found))
