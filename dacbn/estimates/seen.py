"""Collect what estimators of accuracy see, from the outputs of a network."""

import numpy as np
from scipy.special import log_softmax
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
    source, own = _answer(held_out, target)
    other = None
    if second is not None:
        if not second[0].labels.equal(held_out.labels) or second[1].shape != target.shape:
            raise ValueError("the second training saw other images: compare with one of the same")
        other = _answer(*second)
    return Seen(source, own, held_out.labels.numpy(), target.shape[1], other)


def _answer(held_out: HeldOut, target: Tensor) -> tuple[Answers, Answers]:
    if not (len(target) and len(held_out.labels)):
        raise ValueError("an estimate needs images of the source and of the target")
    if not (target.isfinite().all() and held_out.logits.isfinite().all()):
        raise ValueError("an estimate needs finite logits: some are infinite or NaN; train again")
    temperature = fit_temperature(held_out)
    counts = np.bincount(held_out.labels.numpy(), minlength=target.shape[1])
    shares: Floats = counts / counts.sum()
    return _read(held_out.logits, temperature, shares), _read(target, temperature, shares)


def _read(logits: Tensor, temperature: float, shares: Floats) -> Answers:
    logarithms = log_softmax(logits.double().numpy() / temperature, 1)
    probabilities = np.exp(logarithms)
    certainty: Floats = (probabilities * logarithms).sum(1)
    matched = match(probabilities, shares)
    return Answers(logarithms.argmax(1), probabilities.max(1), certainty, matched)
