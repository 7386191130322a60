"""Controls: variants that must be worse than a normaliser for its claim to hold.

A mixture is controlled by a single cluster (which is BatchNorm), by random and by frozen gates, and
by a BatchNorm with as many parameters. A normaliser that gets domain ids is controlled by random
ids, and by ids that are swapped in evaluation. Both are controlled by standardising the input only,
which explains much of the published gain of normalisers on digits. Where there are several sources,
all that could know them apart is controlled by training on them as one.
"""

from inspect import signature
from typing import Any, NamedTuple

from dacbn.models import resolve_norm, takes_ids
from dacbn.norms import Norm, RandomGateNorm
from dacbn.norms.contract import Need
from dacbn.spec import Spec, Term

# Mixtures for which a control replaces only the gate.
GATED = ("ucb_norm",)
NO_CLAIM = ("random_gate_norm", "frozen_gate_norm", "matched_batch_norm")


class Control(NamedTuple):
    """A variant to train as a control.

    Attributes:
        title: the explanation that it controls for, in a few words.
        norm: the normaliser.
        changes: settings besides the norm.
    """

    title: str
    norm: Spec
    changes: tuple[tuple[str, Any], ...] = ()


def controls_of(norm: str) -> list[Control]:
    """List the controls for a normaliser; none if it uses no clusters.

    Raises:
        UnknownNameError: there is no such norm.
    """
    norm = Spec(norm)
    kind, options, maps = resolve_norm(norm)
    name = norm.names[0]
    parameters = signature(kind).parameters
    if name in NO_CLAIM or "num_clusters" not in parameters:
        return []
    if Need.CLUSTER_IDS in kind.needs:
        controls = [
            Control(f"{ids} cluster ids", norm, (("cluster_ids", ids),))
            for ids in ("random", "swapped")
        ]
    else:
        options = {"num_clusters": parameters["num_clusters"].default, **options}
        controls = _of_mixture(Term(name, options), maps)
    standardised = (("input_norm", "instance_norm"),)
    return [*controls, Control("input standardisation", Spec("batch_norm"), standardised)]


def controls_of_domains(norm: str, method: str) -> list[Control]:
    """List the controls for knowing several sources apart; none if nothing here knows them.

    Args:
        norm: the normaliser.
        method: the adaptation method.
    """
    if Spec(method).names == ("source_only",) and not takes_ids(norm):
        return []
    return [Control("all sources as one", Spec(norm), (("merge_sources", True),))]


def _of_mixture(mixture: Term, maps: tuple[Term, ...]) -> list[Control]:
    def control(title: str, name: str, options: dict[str, Any]) -> Control:
        return Control(title, Spec(" + ".join(map(str, (Term(name, options), *maps)))))

    name, options = mixture
    shared = {k: v for k, v in options.items() if k in signature(RandomGateNorm).parameters}
    plain = {k: v for k, v in shared.items() if k in ("num_clusters", *_options_of_batch_norm())}
    controls = [control("one cluster", name, {**options, "num_clusters": 1})]
    if name in GATED:
        controls.append(control("random gates", "random_gate_norm", shared))
        controls.append(control("frozen gates", "frozen_gate_norm", shared))
    return [*controls, control("matched parameters", "matched_batch_norm", plain)]


def _options_of_batch_norm() -> tuple[str, ...]:
    return ("momentum", *(name for name in signature(Norm).parameters if name != "num_features"))
