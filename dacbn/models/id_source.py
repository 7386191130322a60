"""What cluster-aware normalisers are told of an image's domain: the truth, or a control's."""

from typing import Literal, get_args

from torch import Tensor

from dacbn.norms.controls.scramble import hash_to_int

Told = Literal["domain", "random", "swapped"]


def check_told(told: str) -> None:
    """Refuse what is no way to tell ids.

    Raises:
        ValueError: it is none of the known ones.
    """
    if told not in get_args(Told):
        raise ValueError(f"cluster_ids must be one of {', '.join(get_args(Told))}, got {told!r}")


def told_ids(ids: Tensor, images: Tensor, told: Told, training: bool) -> Tensor:
    """Return the ids (B,) that normalisers are told instead of an image's domain.

    Where "random" ids do as well, it is not the domains that help; where "swapped" ones do, which
    are right in training and exchanged in evaluation, the domains' statistics are alike.

    Args:
        ids: of the two domains, source 0 and target 1, int64 (B,).
        images: (B, 3, S, S); equal ones draw equal random ids.
        told: "domain" tells the truth.
        training: whether the network is trained now.
    """
    if told == "random":
        return hash_to_int(images.detach(), 2, (1, 2, 3)).flatten()
    return 1 - ids if told == "swapped" and not training else ids
