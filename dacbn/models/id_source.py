"""Ids passed to cluster-aware normalisers: the true domain ids, or those of a control."""

from typing import Literal, get_args

from torch import Tensor

from dacbn.norms.controls.scramble import hash_to_int
from dacbn.spelling import spell

IdSource = Literal["domain", "random", "swapped"]


def check_id_source(id_source: str) -> None:
    """Raise ValueError for an unknown id source."""
    if id_source not in get_args(IdSource):
        known = ", ".join(get_args(IdSource))
        raise ValueError(f"{spell('id_source')} must be one of {known}, got {id_source!r}")


def shown_ids(
    ids: Tensor, images: Tensor, id_source: IdSource, num_domains: int, training: bool
) -> Tensor:
    """Return the ids that normalisers receive: int64 (B,) in [0, num_domains).

    Both controls test whether the domains matter to a normaliser. "random" ids do not depend on the
    domain. "swapped" ids are right in training; in evaluation each domain has the id of the next
    one, so that two domains are exchanged.

    Args:
        ids: domain ids, int64 (B,).
        images: (B, 3, S, S); equal images get equal random ids.
        id_source: "domain" returns `ids` unchanged.
        num_domains: number of domains.
        training: whether the network is in training mode.
    """
    if id_source == "random":
        return hash_to_int(images.detach(), num_domains, (1, 2, 3)).flatten()
    if id_source == "swapped" and not training:
        return (ids + 1) % num_domains
    return ids
