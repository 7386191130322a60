"""A copy of a network for evaluation only, with fewer and plainer operations."""

import copy

from torch import nn

from dacbn.export.channel_mixture import ChannelMixture
from dacbn.models import Network
from dacbn.norms import NoChannelMapError, Norm, UCBNorm
from dacbn.norms.contract import Need
from dacbn.norms.folding import AnyBatchNorm


def simplify(network: Network, cluster_id: int | None) -> Network:
    """Copy a network, to the CPU, with its normalisers in the plainest form of the same function.

    Those that are an affine map per channel become BatchNorms, mixtures per channel become
    quadratics and sigmoids; all others stay. Parametrized weights become plain ones.

    Args:
        network: is not changed.
        cluster_id: the domain that it answers for; None leaves layers that receive ids as they are.
    """
    copied = copy.deepcopy(network).cpu().eval()
    for name, layer in list(copied.named_modules()):
        parent, _, leaf = name.rpartition(".")
        if isinstance(layer, Norm) and (plain := _plainer(layer, cluster_id)) is not None:
            setattr(copied.get_submodule(parent), leaf, plain.eval())
    return copied


def _plainer(layer: Norm, cluster_id: int | None) -> nn.Module | None:
    """Return a layer of the same function, if there is one that is plainer."""
    if Need.CLUSTER_IDS in layer.needs and cluster_id is None:
        return None
    try:
        found = layer.evaluation_map(cluster_id)
    except NoChannelMapError:
        mixes = isinstance(layer, UCBNorm) and layer.assign == "channel"
        return ChannelMixture(layer) if mixes and isinstance(layer, UCBNorm) else None
    folded = AnyBatchNorm(layer.num_features, layer.eps)
    state = {"running_mean": found.mean, "running_var": found.var}
    folded.load_state_dict({**state, "weight": found.weight, "bias": found.bias}, strict=False)
    return folded
