"""A layer's mixture beside the one that scikit-learn fits to the same activations.

A mixture per channel is compared channel by channel, any other jointly over channels. scikit-learn
fits to one half of the recorded images, and both are compared on the other. A layer that assigns
whole images is scored position by position like the others, and its assignments are compared image
by image. scikit-learn has the advantage of images like those compared, all at once, where a layer
followed batches of augmented ones.
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
from tqdm import tqdm

from dacbn.analysis.clusters.agreement import Floats
from dacbn.analysis.clusters.compute import compute_overlap, refuse_without_mixture
from dacbn.analysis.clusters.section import spread_over
from dacbn.analysis.observe.assignments import CHANNELS, Assigned, some_channels
from dacbn.analysis.observe.recording import Recording
from dacbn.norms import Mixture
from dacbn.norms.mixture.moments import Assign, log_joint, responsibilities

ROWS = 2500  # to fit to, and as many to compare on
FEWEST = 100
GROUPS = 8  # channels of a mixture per channel, at most, that are compared
LARGEST = 8  # components tried for BIC
LAYERS = 6  # at most
FLOOR = 1e-5  # added to variances, as much as the layers' default eps


class MixtureFit(NamedTuple):
    """The comparison of one layer; G groups of channels that have a mixture of their own.

    Args:
        assign: what the layer assigns.
        channels: those compared, (C,).
        held_out: activations on which the two are compared, (M, C).
        layer: the layer's mixture.
        fitted: scikit-learn's, its components in the order that matches the layer's best.
        likelihood: mean log-likelihood of held-out activations in nats a value: layer,
            scikit-learn; (G, 2).
        bic: scikit-learn's Bayesian information criterion for 1 to 8 components, (G, 8).
        layer_bic: the same criterion for the layer's mixture, (G,).
        ari: adjusted Rand index of the two's assignments of held-out things, (G,).
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
        """Components of the layer."""
        return len(self.layer.mean)

    @property
    def advantage(self) -> float:
        """By how many nats a value scikit-learn explains held-out activations better."""
        return float((self.likelihood[:, 1] - self.likelihood[:, 0]).mean())

    @property
    def preferred(self) -> NDArray[np.int64]:
        """Components that BIC prefers, (G,)."""
        counts: NDArray[np.int64] = self.bic.argmin(1) + 1
        return counts


def compute_mixtures(
    recording: Recording, layers: list[str] | None = None, seed: int = 0
) -> dict[str, MixtureFit]:
    """Compare the mixtures of layers with scikit-learn's.

    Args:
        recording: of one or more domains, which weigh the same.
        layers: by default six mixture layers, spread over the depth of the network.
        seed: of scikit-learn's starts.

    Raises:
        ValueError: no layer has a mixture, or there are too few activations.
    """
    refuse_without_mixture(recording)
    chosen = layers or spread_over(list(recording.mixtures), LAYERS)
    bar = tqdm(chosen, unit="layer", desc="fitting mixtures", leave=False, disable=None)
    return {name: _compare(recording, name, seed) for name in bar}


def fit_mixture(rows: Tensor, num_clusters: int, assign: Assign, seed: int = 0) -> Mixture:
    """Fit scikit-learn's GaussianMixture of diagonal covariance to activations (M, C).

    Args:
        rows: float64 (M, C).
        num_clusters: components.
        assign: "channel" fits every channel by itself; anything else all jointly.
        seed: of the starts.
    """
    fits = [_fit(part, num_clusters, seed) for part in _groups(rows, assign)]
    prior = np.stack([fit.weights_ for fit in fits], 1)
    mean, var = (
        np.concatenate([getattr(fit, name) for fit in fits], 1)
        for name in ("means_", "covariances_")
    )
    return Mixture(torch.tensor(prior), torch.tensor(mean), torch.tensor(var), assign)


def likelihood(mixture: Mixture, rows: Tensor) -> Floats:
    """Compute the mean log-likelihood of activations (M, C) in nats a value, by group: (G,)."""
    assign: Assign = "channel" if mixture.assign == "channel" else "position"
    parts = mixture.prior.log(), mixture.mean, mixture.var
    joint = log_joint(rows[:, :, None], *parts, assign).logsumexp(0)[..., 0]
    values: Floats = (joint.mean(0) / (rows.shape[1] / joint.shape[1])).numpy()
    return values


def match(layer: Mixture, fitted: Mixture) -> Mixture:
    """Reorder fitted components so that they overlap most with the layer's, channel by channel.

    Jointly, where all channels share one assignment.
    """
    if layer.assign != "channel":
        return _reorder(fitted, _best_order(layer, fitted))
    columns = [torch.tensor([channel]) for channel in range(layer.mean.shape[1])]
    parts = [_reorder(fitted.take(c), _best_order(layer.take(c), fitted.take(c))) for c in columns]
    prior, mean, var = (torch.cat([part[i] for part in parts], 1) for i in range(3))  # type: ignore[misc]
    return Mixture(prior, mean, var, layer.assign)


def _compare(recording: Recording, name: str, seed: int) -> MixtureFit:
    mixture = recording.mixtures[name]
    at_most = GROUPS if mixture.assign == "channel" else 2 * CHANNELS
    channels = some_channels(mixture.mean.shape[1], at_most)
    layer = mixture.take(channels)
    fit_images, held_images, held_soft = _halves(recording, name, channels)
    rows, held = fit_images.flatten(0, 1), held_images.flatten(0, 1)
    if len(rows) < FEWEST:
        raise ValueError(f"{name}: {len(rows)} activations are too few to fit to, take {FEWEST}")
    fitted = match(layer, fit_mixture(rows, len(layer.mean), layer.assign, seed))
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
        np.stack([likelihood(layer, held), likelihood(fitted, held)], 1),
        _bic_over_clusters(rows, layer.assign, seed),
        _bic(layer, rows),
        np.array([adjusted_rand_score(*pair) for pair in pairs]),
        np.array([normalized_mutual_info_score(*pair) for pair in pairs]),
    )


def _halves(recording: Recording, name: str, channels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take positions of every other image to fit to, and of the others to compare on.

    Returns:
        float64 (N, P, C) twice, and how the layer assigns the images of the second, (N, K).
    """
    domains = list(recording.layers[name].values())
    images = min(len(each.inputs) for each in domains) // 2
    images = min(images, max(1, ROWS // (2 * len(domains))))
    positions = max(1, ROWS // (max(1, images) * len(domains)))
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
    """Assign positions of images (N, P, C): (things, G)."""
    x = images.mT if mixture.assign == "sample" else images.flatten(0, 1)[:, :, None]
    weights = responsibilities(x, mixture.prior.log(), mixture.mean, mixture.var, mixture.assign)
    labels: NDArray[np.int64] = weights.argmax(0)[..., 0].numpy()
    return labels


def _fit(rows: NDArray[np.float64], num_clusters: int, seed: int) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit cut short is a fit
        return GaussianMixture(
            num_clusters, covariance_type="diag", reg_covar=FLOOR, random_state=seed
        ).fit(rows)


def _groups(rows: Tensor, assign: str) -> list[NDArray[np.float64]]:
    values = rows.numpy()
    return [values[:, [c]] for c in range(values.shape[1])] if assign == "channel" else [values]


def _bic_over_clusters(rows: Tensor, assign: str, seed: int) -> Floats:
    return np.array(
        [
            [_fit(part, count, seed).bic(part) for count in range(1, LARGEST + 1)]
            for part in _groups(rows, assign)
        ]
    )


def _bic(mixture: Mixture, rows: Tensor) -> Floats:
    """Compute the criterion of a given mixture by group, (G,)."""
    groups = mixture.prior.shape[1]
    dimensions = rows.shape[1] // groups
    parameters = len(mixture.mean) * (2 * dimensions + 1) - 1
    total = likelihood(mixture, rows) * rows.shape[0] * dimensions
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
