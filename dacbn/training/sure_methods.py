"""Methods that train the network to be sure of the target, whether or not it is right.

Confidence on the target, which estimates of its accuracy rest on, is then no evidence: mcc on
photographs is 48 % right where estimators say 76 to 94 (RESULTS.md, "Accuracy estimated without
labels").
"""

from dacbn.spec import Spec

SURE = (
    *("adamatch", "bnm", "fixmatch", "information_maximisation", "mcc", "minimum_entropy"),
    *("mme", "shot", "vada"),
)


def why_thin(method: Spec) -> tuple[str, ...]:
    """Return why confidence says little of a training by this method; nothing if it may."""
    names = [name for name in method.names if name in SURE]
    if not names:
        return ()
    return (f"{' and '.join(names)} trained the network to be sure of the target",)
