"""Collect what estimators of accuracy see, from the outputs of a network."""

import numpy as np
from torch import Tensor

from dacbn.estimates.cot import match
from dacbn.estimates.estimator import Answers, Floats, Seen
from dacbn.label_shift import HeldOut
from dacbn.label_shift.calibration import fit_temperature


def see(held_out: HeldOut, target: Tensor, second: tuple[HeldOut, Tensor] | None = None) -> Seen:
    """Collect what estimators see; probabilities are calibrated on the source, by a temperature.

    Args:
        held_out: outputs for source images that were not trained on.
        target: logits of target images (M, C), on the CPU.
        second: the same two of another training, for the same images.

    Raises:
        ValueError: there are no images, a logit is infinite or NaN, or the second training saw
            other images.
    """
    _check(held_out, target)
    other = None
    if second is not None:
        _check(*second)
        if not second[0].labels.equal(held_out.labels) or second[1].shape != target.shape:
            raise ValueError("the second training saw other images: compare with one of the same")
        other = second[0].logits.argmax(1).numpy(), second[1].argmax(1).numpy()
    temperature, labels = fit_temperature(held_out), held_out.labels.numpy()
    shares: Floats = np.bincount(labels, minlength=target.shape[1]) / len(labels)
    source, own = (_read(each, temperature, shares) for each in (held_out.logits, target))
    return Seen(source, own, labels, target.shape[1], other)


def _check(held_out: HeldOut, target: Tensor) -> None:
    if not (len(target) and len(held_out.labels)):
        raise ValueError("an estimate needs images of the source and of the target")
    if not (target.isfinite().all() and held_out.logits.isfinite().all()):
        raise ValueError("an estimate needs finite logits: some are infinite or NaN; train again")


def _read(logits: Tensor, temperature: float, shares: Floats) -> Answers:
    from scipy.special import log_softmax

    logarithms = log_softmax(logits.double().numpy() / temperature, 1)
    probabilities = np.exp(logarithms)
    certainty: Floats = (probabilities * logarithms).sum(1)
    matched = match(probabilities, shares)
    return Answers(logarithms.argmax(1), probabilities.max(1), certainty, matched)
