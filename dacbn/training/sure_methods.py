"""Trainings after which the confidence on the target says little of how often it is right.

Some methods train the network to be sure of the target, whether or not it is right. Confidence
there, which estimates of its accuracy rest on, is then no evidence: mcc on photographs is 48 %
right where estimators say 76 to 94, and a linear probe and centroids of classes, which the
method does not train, are 14 points off on average (RESULTS.md, "Accuracy estimated without
labels").
"""

from dacbn.spec import Spec

SURE = (
    *("adamatch", "bnm", "fixmatch", "information_maximisation", "mcc", "minimum_entropy"),
    *("mme", "shot", "vada"),
)


def why_thin(method: Spec) -> tuple[str, ...]:
    """Return why confidence says little of a training; nothing if it may say something.

    Args:
        method: of the training.
    """
    names = [name for name in method.names if name in SURE]
    return (f"{' and '.join(names)} trained the network to be sure of the target",) if names else ()
