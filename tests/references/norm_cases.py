"""The cases of the normalisers' contract, and the exceptions that some layers are by nature."""

import torch

from dacbn.norms import norms, share_context

SHAPES = [(8, 4), (8, 4, 5), (8, 4, 5, 3), (8, 4, 3, 2, 2)]
# By their nature, some layers do not do all of it.
# They divide by nothing (instances of a single value included), or multiply the scale.
LEAVE_THE_SCALE = {
    "dynamic_tanh",
    "ibn_norm",
    "instance_norm",
    "mean_only_batch_norm",
    "mixture_norm",
    "no_norm",
    "self_normalizing",
    "trans_norm",
    "uan",
}
# They normalise each sample by itself, by the batch in evaluation, or by something a BatchNorm does
# not have, or not at all.
LEND_NOTHING = {
    "alpha_batch_norm",
    "batch_channel_norm",
    "channel_layer_norm",
    "dynamic_tanh",
    "group_norm",
    "ibn_norm",
    "instance_aware_batch_norm",
    "instance_norm",
    "isometric_group_norm",
    "layer_norm",
    "prediction_time_batch_norm",
    "self_normalizing",
    "stream_ucb_norm",
    "switchable_norm",
    "unmix_norm",
}
BREAK_THE_GRAPH: set[str] = set()  # they decide by values
LEARNED_START = {"scb_norm", "scb_norm_base", "uan"}  # a reset leaves what is learned
# They have as many numbers as a mixture, and assign nothing.
FIND_NO_CLUSTERS = {"matched_batch_norm"}
# They end in an affine map per cluster, or in weights that depend on the domains.
OWN_ENDING = {"domain_specific_batch_norm", "trans_norm"}


def ids_of(x):
    return torch.arange(len(x)) % 2


def run(layer, x, ids=None):
    """Run a layer, with ids if it wants any."""
    with share_context(layer).bind(ids_of(x) if ids is None else ids):
        return layer(x)


def trained(name, shape=(8, 4)):
    """Return a layer that has seen three batches, with an affine of its own."""
    layer = norms[name](shape[1])
    for _ in range(3):
        run(layer, torch.randn(shape) * 2 + 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
        layer.bias.copy_(torch.tensor([0.5, 1.0, -1.0, 2.0]))
    return layer
