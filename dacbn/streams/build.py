"""Build what answers a stream: a network as it is, with normalisers that follow, with a method."""

import copy
from collections.abc import Sequence

from dacbn.methods import OnlineMethod, test_time_methods
from dacbn.models import Network, with_norm
from dacbn.norms import FollowsStream
from dacbn.streams.unadapted import Unadapted
from dacbn.training import one_domain


def build_method(
    network: Network, adapt: str | None, norm: str | None, cluster_ids: Sequence[int]
) -> OnlineMethod | Unadapted:
    """Return an object whose `predict(images, cluster_ids)` answers a batch and learns from it.

    Args:
        network: a trained network, which is not changed.
        adapt: a test-time method; None does not adapt.
        norm: normalisers that take the place of the trained BatchNorms and follow the images by
            their own rule, with a method or without; None keeps those of the training, and those of
            them that have such a rule follow.
        cluster_ids: ids of the domains whose statistics answer; without a method and a norm,
            several are averaged.

    Raises:
        UnknownNameError: there is no such method or normaliser.
        ValueError: the network has nothing to adapt, the norm cannot be put into it, or it is told
            several domains.

    Example:
        >>> import torch
        >>> from dacbn.models import create_network
        >>> method = build_method(create_network("digits_cnn", None, 10), "lame", None, [1])
        >>> method.predict(torch.rand(4, 3, 32, 32), torch.ones(4, dtype=torch.int64)).logits.shape
        torch.Size([4, 10])
    """
    if norm is not None:
        network = with_norm(network, norm, cluster_id=one_domain(cluster_ids))
    if adapt is None:
        follows = any(isinstance(layer, FollowsStream) for layer in network.modules())
        own = copy.deepcopy(network) if follows and norm is None else network
        return Unadapted(own, cluster_ids, follows)
    method = test_time_methods.build(adapt, network)
    if norm is not None:  # also one that normalises by each batch
        method.by_batch = False
    return method
