"""Validators: scores that tell good models from bad ones without a label of the target.

Each is a function from inputs to a number, higher for models that it takes for better. None is
always right: the best of them differs from method to method (Musgrave et al., "Three New
Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", 2022,
https://arxiv.org/abs/2208.07360). Those here look at the source's predictions or at the target's;
those of `weighted_validators` relate the two domains.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor

from dacbn import losses
from dacbn.methods.bnm import mean_nuclear_norm
from dacbn.methods.information_maximisation import mutual_information
from dacbn.registry import Registry
from dacbn.training.validator_inputs import ValidatorInputs, sample_rows

TEMPERATURE = 0.05  # of soft neighbourhoods, as published
CHUNK = 256  # rows of a table of all pairs that are held at a time

Validator: TypeAlias = Callable[[ValidatorInputs], float]

validators: Registry[Validator] = Registry("validator")


def needs_source(score: Validator) -> Validator:
    """Mark a validator that says nothing where there is no source."""
    score.needs = ("the source",)  # type: ignore[attr-defined]  # read by the registry, for people
    return score


def without_source(names: Iterable[str]) -> list[str]:
    """Keep the names of validators that do without the source.

    Raises:
        UnknownNameError: there is no validator of that name.
    """
    return [name for name in names if not getattr(validators[name], "needs", ())]


def validate(inputs: ValidatorInputs, names: Iterable[str]) -> dict[str, float]:
    """Compute validators by name; NaN for all where a network's outputs are no finite numbers.

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
    """Compute the accuracy on the source's validation images."""
    return (inputs.source.logits.argmax(1) == inputs.source_labels).double().mean().item()


@validators.register("entropy")
def entropy(inputs: ValidatorInputs) -> float:
    """Compute minus the mean entropy of target predictions, in nats: certainty."""
    return -losses.entropy(inputs.target.logits.double()).mean().item()


@validators.register("information_maximisation")
def information_maximisation(inputs: ValidatorInputs) -> float:
    """Compute the information between target image and prediction: certainty and diversity."""
    return mutual_information(inputs.target.logits.double()).item()


@validators.register("bnm")
def bnm(inputs: ValidatorInputs) -> float:
    """Compute the nuclear norm of the target predictions, per image: certainty and diversity.

    Musgrave et al. 2022 found it to choose well where the source's accuracy says little.
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
    """Compute how many others each point of length one (N, C) is close to: a mean entropy."""
    total = torch.zeros((), dtype=points.dtype)
    for first in range(0, len(points), CHUNK):
        closeness = points[first : first + CHUNK] @ points.T / TEMPERATURE
        closeness.diagonal(first).fill_(-math.inf)  # no point is its own neighbour
        total += torch.special.entr(closeness.softmax(1)).sum()
    return (total / len(points)).item()


@validators.register("class_ami")
def class_ami(inputs: ValidatorInputs) -> float:
    """Compute how far clusters of target features are the predicted classes (ClassAMI).

    It is the adjusted mutual information of the two, 0 by chance and 1 at best (Musgrave et al.
    2022). A normaliser that forms clusters may please it for that alone.
    """
    features, logits = inputs.target
    clusters = KMeans(min(logits.shape[1], len(features)), n_init=1, random_state=0)
    with warnings.catch_warnings():  # fewer different features than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = clusters.fit_predict(features.numpy())
    return float(adjusted_mutual_info_score(logits.argmax(1).numpy(), found))
