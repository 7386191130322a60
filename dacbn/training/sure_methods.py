"""Trainings after which the confidence on the target says little of how often it is right.

Some methods train the network to be sure of the target, whether or not it is right. Confidence
there, which estimates of its accuracy rest on, is then no evidence: mcc on photographs is 48 %
right where estimators say 76 to 94 (RESULTS.md, "Accuracy estimated without labels"). With several
sources an estimate was 21 points too high on photographs, outside its interval, and how far
estimates are off was measured with one source only.
"""

from dacbn.spec import Spec

SURE = (
    *("adamatch", "bnm", "fixmatch", "information_maximisation", "mcc", "minimum_entropy"),
    *("mme", "shot", "vada"),
)


def why_thin(method: Spec, num_sources: int = 1) -> tuple[str, ...]:
    """Return why confidence says little of a training; nothing if it may say something.

    Args:
        method: of the training.
        num_sources: domains that it learned labels from.
    """
    reasons = []
    if names := [name for name in method.names if name in SURE]:
        reasons.append(f"{' and '.join(names)} trained the network to be sure of the target")
    if num_sources > 1:
        reasons.append("how far estimates are off is known for one source only")
    return tuple(reasons)
