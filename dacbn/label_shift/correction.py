"""Correct the predictions of target images for label shift."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dacbn.label_shift.calibration import fit_temperature
from dacbn.label_shift.estimator import Calibrated, Floats, HeldOut, estimators
from dacbn.spec import Spec
from dacbn.spelling import spell

FEW = 5  # images per class, below which an estimate is rough
SHOWN = 5  # classes
SMALLEST = 1e-30  # of a weight: logarithms stay finite


class Corrected(NamedTuple):
    """Predictions under the class shares that were estimated from them.

    Attributes:
        log_probabilities: float32 (M, num_classes).
        prior: share of each class in the target, float64 (num_classes,); sums to 1.
    """

    log_probabilities: Tensor
    prior: Floats


def check_estimator(spec: str, adapt: str | None = None, unknown: bool = False) -> None:
    """Check the name and options of an estimator, before images are loaded.

    Args:
        spec: an estimator, such as "em" or "bbse(soft=True)".
        adapt: test-time method that is to adapt the network while it predicts.
        unknown: whether answers may be "unknown".

    Raises:
        UnknownNameError: there is no such estimator.
        ValueError: it has no such option, several are added, or the network is to change.
    """
    terms = Spec(spec).terms
    if len(terms) > 1:
        raise ValueError("cannot add label-shift estimators: choose one")
    estimators.check(terms[0])
    if adapt is not None:
        raise ValueError(
            f"{spell('adapt')} changes the network while it predicts, and {spell('label_shift')} "
            "compares its predictions with those of the trained one: choose one"
        )
    if unknown:
        raise ValueError(
            f"{spell('label_shift')} corrects the shares of known classes, and this network may "
            'answer "unknown", by a threshold for predictions as they are: leave out '
            f"{spell('label_shift')}"
        )


def correct(spec: str, held_out: HeldOut, logits: Tensor) -> Corrected:
    """Estimate the label shift of target images, and correct their predictions for it.

    Args:
        spec: an estimator, such as "em" or "bbse(soft=True)".
        held_out: outputs for source images that were not trained on.
        logits: of target images, (M, num_classes), on the CPU; M is at least 1.

    Raises:
        UnknownNameError: there is no such estimator.
        ValueError: it has no such option, or a logit is infinite or NaN.
    """
    if not (logits.isfinite().all() and held_out.logits.isfinite().all()):
        raise ValueError("label shift needs finite logits: some are infinite or NaN; train again")
    _warn_if_few(len(logits), len(held_out.labels), logits.shape[1])
    temperature = fit_temperature(held_out)
    source, target = (
        (each.double() / temperature).log_softmax(1) for each in (held_out.logits, logits)
    )
    known = Calibrated(source.exp().numpy(), held_out.labels.numpy())
    prior, weights = estimators.build(spec, known, target.exp().numpy())
    shifted = target + torch.from_numpy(weights.clip(SMALLEST)).log()
    return Corrected(shifted.log_softmax(1).float(), prior)


def describe(prior: Floats, classes: Sequence[str]) -> str:
    """Describe the estimated shares of the classes in the target; of many, the largest."""
    largest = (-prior).argsort(kind="stable")[:SHOWN]
    shares = ", ".join(f"{classes[each]} {prior[each]:.1%}" for each in largest)
    others = len(classes) - len(largest)
    return f"estimated shares of classes: {shares}" + (f" and {others} others" if others else "")


def _warn_if_few(targets: int, sources: int, classes: int) -> None:
    """Warn if the shares of the classes are estimated from few images."""
    enough = FEW * classes
    counts = {"target": targets, "held-out source": sources}
    if few := [f"{count} {of} images" for of, count in counts.items() if count < enough]:
        warnings.warn(
            f"label shift between {classes} classes is estimated from {' and '.join(few)}, which "
            f"is rough: {enough} or more are better",
            stacklevel=2,
        )
