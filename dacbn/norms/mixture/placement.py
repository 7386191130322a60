"""Where the components of a mixture start on a first batch.

Shapes: activations x are (N, C, L); means and variances of K components are (K, C).
"""

import torch
from torch import Tensor

from dacbn.norms.mixture.moments import Assign, evenly_inside_unit

# Largest initial distance of components from the mean, in standard deviations: large enough to
# separate soon.
DISTANCE = 0.3
# Maximum number of values per channel that the initialisation uses.
INIT_SAMPLE = 4096


def init_components(x: Tensor, num_clusters: int, assign: Assign) -> tuple[Tensor, Tensor]:
    """Choose initial means and variances for the activations x (N, C, L).

    The components of a mixture per channel start near the mean of that channel. A mixture shared
    by all channels starts on actual positions (or samples), each the farthest from those before it.

    Returns:
        means (K, C) and variances (K, C).
    """
    mean, var = x.mean((0, 2)), x.var((0, 2), correction=0)
    finite = var < torch.inf  # a channel that overflows starts anywhere but at infinity
    mean, var = mean.where(finite, 0), var.where(finite, 1)
    if assign == "channel" or num_clusters == 1:
        return init_near_mean(mean, var, num_clusters, DISTANCE)
    rows = x.mean(2) if assign == "sample" else x.transpose(1, 2).flatten(0, 1)
    rows = rows.where(finite, 0)
    if len(rows) > INIT_SAMPLE:
        # evenly, but not in multiples of a row, which would use one column of every map
        order = torch.arange(INIT_SAMPLE, device=x.device)
        rows = rows[order * (len(rows) - 1) // (INIT_SAMPLE - 1)]
    means = [rows[0]]
    for _ in range(num_clusters - 1):
        nearest = torch.stack([(rows - mean).square().sum(1) for mean in means]).amin(0)
        means.append(rows.index_select(0, nearest.argmax()[None])[0])
    return torch.stack(means), var.expand(num_clusters, -1)


def init_near_mean(
    mean: Tensor, var: Tensor, num_clusters: int, distance: float
) -> tuple[Tensor, Tensor]:
    """Initialise all components near the mean (C,), with the variance of the data (C,).

    So near, a mixture normalises much as BatchNorm does. EM then separates the components where the
    data have several modes, and keeps them together where they have one.

    Args:
        mean: (C,).
        var: (C,).
        num_clusters: components K.
        distance: the largest from the mean, in standard deviations.

    Returns:
        means (K, C) and variances (K, C).
    """
    offsets = distance * (2 * evenly_inside_unit(num_clusters, mean) - 1)
    return mean + offsets[:, None] * var.sqrt(), var.expand(num_clusters, -1)
