"""Compare the mixture of a layer with the one that scikit-learn fits to the same activations.

A mixture per channel is compared channel by channel, any other jointly over channels. scikit-learn
fits to one half of the recorded images, and both are compared on the other half. The likelihood is
that of single positions, also for a layer that assigns whole images; the assignments of such a
layer are compared image by image. scikit-learn has an advantage: it fits to all images together,
without augmentation, while the layer followed batches of augmented images.
"""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from torch import Tensor

from dacbn.analysis.clusters.compute import compute_overlap, require_mixture
from dacbn.analysis.observe.assignments import MAX_CHANNELS, Assigned, choose_channels
from dacbn.analysis.observe.layer_names import evenly_spaced
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recording import Recording
from dacbn.norms import Mixture
from dacbn.norms.mixture.moments import Assign, log_joint, responsibilities
from dacbn.progress import counted

MAX_ROWS = 2500  # activations to fit to, and as many to compare on
MIN_ROWS = 100
MAX_GROUPS = 8  # compared channels of a mixture per channel
MAX_COMPONENTS = 8  # tried for BIC
MAX_LAYERS = 6
VARIANCE_FLOOR = 1e-5  # added to variances, equal to the layers' default eps


class MixtureFit(NamedTuple):
    """The comparison of one layer, for G groups of channels that share one mixture each.

    Attributes:
        assign: the layer's mode of assignment.
        channels: the compared ones, (C,).
        held_out: activations on which the two are compared, (M, C).
        layer: the layer's mixture.
        fitted: scikit-learn's mixture, its components in the order that best matches the layer's.
        likelihood: mean log-likelihood of held-out activations in nats per value: layer,
            scikit-learn; (G, 2).
        bic: scikit-learn's Bayesian information criterion for 1 to 8 components, (G, 8).
        layer_bic: the same criterion for the layer's mixture, (G,).
        ari: adjusted Rand index of both assignments of held-out activations, (G,).
        nmi: normalised mutual information of the same, (G,).
    """

    assign: str
    channels: NDArray[np.int64]
    held_out: Floats
    layer: Mixture
    fitted: Mixture
    likelihood: Floats
    bic: Floats
    layer_bic: Floats
    ari: Floats
    nmi: Floats

    @property
    def num_clusters(self) -> int:
        """Number of components of the layer."""
        return len(self.layer.mean)

    @property
    def advantage(self) -> float:
        """Held-out log-likelihood of scikit-learn minus the layer's, in nats per value."""
        return float((self.likelihood[:, 1] - self.likelihood[:, 0]).mean())

    @property
    def preferred(self) -> NDArray[np.int64]:
        """Number of components that BIC prefers, (G,)."""
        counts: NDArray[np.int64] = self.bic.argmin(1) + 1
        return counts


def compute_mixtures(
    recording: Recording, layers: list[str] | None = None, seed: int = 0
) -> dict[str, MixtureFit]:
    """Compare the mixtures of layers with scikit-learn's.

    Args:
        recording: of one or more domains, which have the same weight.
        layers: names; by default six mixture layers, evenly spaced over the depth.
        seed: for the starting points of scikit-learn.

    Raises:
        ValueError: no layer has a mixture, or there are too few activations.
    """
    require_mixture(recording)
    chosen = layers or evenly_spaced(list(recording.mixtures), MAX_LAYERS)
    names = counted(chosen, len(chosen), "layer", "fitting mixtures")
    return {name: _compare(recording, name, seed) for name in names}


def fit_mixture(rows: Tensor, num_clusters: int, assign: Assign, seed: int = 0) -> Mixture:
    """Fit scikit-learn's GaussianMixture of diagonal covariance to activations (M, C).

    Args:
        rows: float64 (M, C).
        num_clusters: number of components.
        assign: "channel" fits each channel separately; any other mode all channels jointly.
        seed: for the starting points.
    """
    fits = [_fit(part, num_clusters, seed) for part in _groups(rows, assign)]
    prior = np.stack([fit.weights_ for fit in fits], 1)
    mean, var = (
        np.concatenate([getattr(fit, name) for fit in fits], 1)
        for name in ("means_", "covariances_")
    )
    return Mixture(torch.tensor(prior), torch.tensor(mean), torch.tensor(var), assign)


def mean_log_likelihood(mixture: Mixture, rows: Tensor) -> Floats:
    """Compute the mean log-likelihood of activations (M, C) in nats per value, by group: (G,)."""
    assign: Assign = "channel" if mixture.assign == "channel" else "position"
    parts = mixture.prior.log(), mixture.mean, mixture.var
    joint = log_joint(rows[:, :, None], *parts, assign).logsumexp(0)[..., 0]
    values: Floats = (joint.mean(0) / (rows.shape[1] / joint.shape[1])).numpy()
    return values


def match_components(layer: Mixture, fitted: Mixture) -> Mixture:
    """Reorder fitted components so that they overlap most with the layer's.

    In a mixture per channel, each channel has its own order.
    """
    if layer.assign != "channel":
        return _reorder(fitted, _best_order(layer, fitted))
    columns = [torch.tensor([channel]) for channel in range(layer.mean.shape[1])]
    parts = [_reorder(fitted.take(c), _best_order(layer.take(c), fitted.take(c))) for c in columns]
    prior, mean, var = (torch.cat([part[i] for part in parts], 1) for i in range(3))  # type: ignore[misc]
    return Mixture(prior, mean, var, layer.assign)


def _compare(recording: Recording, name: str, seed: int) -> MixtureFit:
    mixture = recording.mixtures[name]
    at_most = MAX_GROUPS if mixture.assign == "channel" else 2 * MAX_CHANNELS
    channels = choose_channels(mixture.mean.shape[1], at_most)
    layer = mixture.take(channels)
    fit_images, held_images, held_soft = _halves(recording, name, channels)
    rows, held = fit_images.flatten(0, 1), held_images.flatten(0, 1)
    if len(rows) < MIN_ROWS:
        raise ValueError(
            f"{name}: {len(rows)} activations are too few to fit to: at least {MIN_ROWS} are needed"
        )
    fitted = match_components(layer, fit_mixture(rows, len(layer.mean), layer.assign, seed))
    labels = _labels(layer, held_images), _labels(fitted, held_images)
    if layer.assign == "sample":
        labels = held_soft.argmax(1)[:, None].numpy(), labels[1]
    pairs = list(zip(labels[0].T, labels[1].T, strict=True))
    return MixtureFit(
        layer.assign,
        channels.numpy(),
        held.numpy(),
        layer,
        fitted,
        np.stack([mean_log_likelihood(layer, held), mean_log_likelihood(fitted, held)], 1),
        _bic_over_clusters(rows, layer.assign, seed),
        _bic(layer, rows),
        np.array([adjusted_rand_score(*pair) for pair in pairs]),
        np.array([normalized_mutual_info_score(*pair) for pair in pairs]),
    )


def _halves(recording: Recording, name: str, channels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose positions of every other image to fit to, and of the others to compare on.

    Returns:
        both halves, float64 (N, P, C), and the assignments of the images of the second, (N, K).
    """
    domains = list(recording.layers[name].values())
    images = min(len(each.inputs) for each in domains) // 2
    images = min(images, max(1, MAX_ROWS // (2 * len(domains))))
    positions = max(1, MAX_ROWS // (max(1, images) * len(domains)))
    halves = [
        torch.cat([each.inputs[start : 2 * images : 2, :positions, channels] for each in domains])
        for start in (0, 1)
    ]
    soft = [_soft(each.assigned)[1 : 2 * images : 2] for each in domains]
    return halves[0].double(), halves[1].double(), torch.cat(soft)


def _soft(assigned: Assigned | None) -> Tensor:
    assert assigned is not None
    return assigned.soft.mean(1)


def _labels(mixture: Mixture, images: Tensor) -> NDArray[np.int64]:
    """Assign positions of images (N, P, C): labels (M, G), or (N, 1) of whole images."""
    x = images.mT if mixture.assign == "sample" else images.flatten(0, 1)[:, :, None]
    weights = responsibilities(x, mixture.prior.log(), mixture.mean, mixture.var, mixture.assign)
    labels: NDArray[np.int64] = weights.argmax(0)[..., 0].numpy()
    return labels


def _fit(rows: NDArray[np.float64], num_clusters: int, seed: int) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unfinished fit is good enough
        return GaussianMixture(
            num_clusters, covariance_type="diag", reg_covar=VARIANCE_FLOOR, random_state=seed
        ).fit(rows)


def _groups(rows: Tensor, assign: str) -> list[NDArray[np.float64]]:
    values = rows.numpy()
    return [values[:, [c]] for c in range(values.shape[1])] if assign == "channel" else [values]


def _bic_over_clusters(rows: Tensor, assign: str, seed: int) -> Floats:
    return np.array(
        [
            [_fit(part, count, seed).bic(part) for count in range(1, MAX_COMPONENTS + 1)]
            for part in _groups(rows, assign)
        ]
    )


def _bic(mixture: Mixture, rows: Tensor) -> Floats:
    """Compute the BIC of a given mixture by group, (G,)."""
    groups = mixture.prior.shape[1]
    dimensions = rows.shape[1] // groups
    parameters = len(mixture.mean) * (2 * dimensions + 1) - 1
    total = mean_log_likelihood(mixture, rows) * rows.shape[0] * dimensions
    criterion: Floats = parameters * np.log(len(rows)) - 2 * total
    return criterion


def _best_order(layer: Mixture, fitted: Mixture) -> Tensor:
    both = Mixture(
        layer.prior,
        torch.cat([layer.mean, fitted.mean]),
        torch.cat([layer.var, fitted.var]),
        layer.assign,
    )
    count = len(layer.mean)
    overlap = compute_overlap(both)[:count, count:]
    return torch.tensor(linear_sum_assignment(-overlap)[1])


def _reorder(mixture: Mixture, order: Tensor) -> Mixture:
    return Mixture(mixture.prior[order], mixture.mean[order], mixture.var[order], mixture.assign)
