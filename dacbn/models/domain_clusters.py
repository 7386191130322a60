"""Norms that receive the ids of the domains, and have a cluster for each."""

from torch import nn

from dacbn.models.convert import resolve_norm
from dacbn.norms import Norm
from dacbn.norms.contract import Need
from dacbn.spec import Spec, Term

OPTION = "num_clusters"


def takes_cluster_ids(model: nn.Module) -> bool:
    """Whether a layer of a model receives the ids of the domains."""
    layers = (layer for layer in model.modules() if isinstance(layer, Norm))
    return any(Need.CLUSTER_IDS in layer.needs for layer in layers)


def takes_ids(norm: str) -> bool:
    """Whether a norm receives the ids of the domains.

    Args:
        norm: a specification, such as "scb_norm".
    """
    return Need.CLUSTER_IDS in resolve_norm(norm)[0].needs


def clusters_for_domains(norm: str, num_domains: int) -> Spec:
    """Return a norm with a cluster for each domain, if it receives ids and does not say how many.

    Args:
        norm: a specification, such as "domain_specific_batch_norm".
        num_domains: number of domains.

    Raises:
        ValueError: it receives ids, and has fewer clusters than there are domains.

    Example:
        >>> print(clusters_for_domains("scb_norm(affine=False)", 4))
        scb_norm(affine=False, num_clusters=4)
        >>> print(clusters_for_domains("ucb_norm", 4))
        ucb_norm
    """
    spec = Spec(norm)
    kind, options, maps = resolve_norm(spec)
    if Need.CLUSTER_IDS not in kind.needs:
        return spec
    clusters = options.get(OPTION)
    if clusters is None and num_domains > 2:
        first = Term(spec.names[0], {**options, OPTION: num_domains})
        return Spec(" + ".join(map(str, (first, *maps))))
    if clusters is not None and clusters < num_domains:
        raise ValueError(
            f"{spec} has {clusters} clusters, and there are {num_domains} domains: leave out "
            f"{OPTION}, or give each domain its cluster"
        )
    return spec
