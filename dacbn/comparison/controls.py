"""Controls: what has to do worse than a normaliser for its claim to stand.

A mixture is controlled by one cluster alone, which is BatchNorm, by gates that chance draws or that
stay as they were placed, and by a BatchNorm with as many learned numbers. A normaliser that knows
the domains is controlled by ids that are random, or exchanged in evaluation. Both are controlled by
standardising the input alone, which explains much of what is claimed for normalisers on digits.
"""

from inspect import signature
from typing import Any, NamedTuple

from dacbn.models import resolve_norm
from dacbn.norms import Norm, RandomGateNorm
from dacbn.registry import parse_spec, split_sum

# Mixtures whose gate, and nothing else, a control exchanges.
GATED = ("ucb_norm",)
NO_CLAIM = ("random_gate_norm", "frozen_gate_norm", "matched_batch_norm")


class Control(NamedTuple):
    """What is trained to control for something.

    Args:
        title: what for, in a few words.
        norm: the normaliser.
        changes: settings besides the norm.
    """

    title: str
    norm: str
    changes: tuple[tuple[str, Any], ...] = ()


def controls_of(norm: str) -> list[Control]:
    """List the controls that a normaliser's claim needs; none for one that knows no clusters.

    Raises:
        UnknownNameError: there is no such norm.
    """
    kind, options, _ = resolve_norm(norm)
    name = parse_spec(split_sum(norm)[0])[0]
    parameters = signature(kind).parameters
    if name in NO_CLAIM or "num_clusters" not in parameters:
        return []
    if "cluster ids" in kind.needs:
        told = [("random cluster ids", "random"), ("swapped cluster ids", "swapped")]
        found = [Control(title, norm, (("cluster_ids", ids),)) for title, ids in told]
    else:
        found = _of_mixture(norm, {"num_clusters": parameters["num_clusters"].default, **options})
    standardised = (("input_norm", "instance_norm"),)
    return [*found, Control("input standardisation", "batch_norm", standardised)]


def _of_mixture(norm: str, options: dict[str, Any]) -> list[Control]:
    first, *maps = split_sum(norm)
    name = parse_spec(first)[0]
    shared = {k: v for k, v in options.items() if k in signature(RandomGateNorm).parameters}
    plain = {k: v for k, v in shared.items() if k in ("num_clusters", *_of_batch_norm())}
    found = [Control("one cluster", _spec(name, {**options, "num_clusters": 1}, maps))]
    if name in GATED:
        found.append(Control("random gates", _spec("random_gate_norm", shared, maps)))
        found.append(Control("frozen gates", _spec("frozen_gate_norm", shared, maps)))
    found.append(Control("matched parameters", _spec("matched_batch_norm", plain, maps)))
    return found


def _of_batch_norm() -> tuple[str, ...]:
    return ("momentum", *(name for name in signature(Norm).parameters if name != "num_features"))


def _spec(name: str, options: dict[str, Any], maps: list[str]) -> str:
    text = ", ".join(f"{option}={value!r}" for option, value in options.items())
    return " + ".join([f"{name}({text})", *maps])
