"""Embed the features of several networks by t-SNE.

Paper: van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008,
https://www.jmlr.org/papers/v9/vandermaaten08a.html.
This file imports no torch, because another process may run it, and scikit-learn only where it is
used, because the process that asks need not wait for it.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]

DIMENSIONS = 50  # of the PCA before t-SNE, as in the t-SNE paper
PERPLEXITY = 30.0
NUM_NEIGHBOURS = 10  # for trustworthiness
MANY = 500  # points: fewer take less time than the start of another process
# Of many points, twice the steps lower the divergence by 4 % and take twice as long.
STEPS, STEPS_OF_FEW = 500, 1000


def align_features(features: Sequence[Floats]) -> list[Floats]:
    """Map the features that several networks compute for the same N images into one space.

    The features of each network are centred, scaled to a mean square length of 1, reduced to their
    first principal components and rotated towards those of the first network. Beyond the reduction,
    distances within a network change only by the scale.

    Args:
        features: of each network, (N, D); D may differ.

    Returns:
        of each network, (N, d) with the same d of at most 50.
    """
    from scipy.linalg import orthogonal_procrustes
    from sklearn.decomposition import PCA

    size = min(DIMENSIONS, *(min(each.shape) for each in features))
    aligned: list[Floats] = []
    for each in features:
        centred = each - each.mean(0)
        length = np.sqrt(np.square(centred).sum(1).mean())
        with np.errstate(invalid="ignore"):  # PCA divides by a variance that may be 0
            reduced = PCA(size, random_state=0).fit_transform(centred / (length or 1))
        rotation = orthogonal_procrustes(reduced, aligned[0])[0] if aligned else np.eye(size)
        aligned.append(reduced @ rotation)
    return aligned


def compute_embedding(
    features: Floats,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    start: Floats | None = None,
) -> Floats:
    """Embed features (N, D) in the plane by t-SNE, after PCA.

    Args:
        features: of N images.
        perplexity: roughly the number of neighbours that t-SNE considers.
        seed: for t-SNE.
        start: initial points, (N, 2) of any scale; by default the first two principal components.

    Returns:
        (N, 2).

    Raises:
        ValueError: the sample is too small for the perplexity.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count, size = features.shape
    if count <= 3 * perplexity:
        raise ValueError(
            f"t-SNE with a perplexity of {perplexity:g} needs more than {3 * perplexity:g} images, "
            f"got {count}: give more images, or lower the perplexity"
        )
    reduced = PCA(min(DIMENSIONS, count, size), random_state=seed).fit_transform(features)
    begin = reduced[:, :2] if start is None else start
    std = begin[:, 0].std() or 1.0
    plane: Floats = TSNE(
        perplexity=perplexity,
        init=1e-4 / std * begin,
        learning_rate="auto",
        max_iter=STEPS_OF_FEW if count < MANY else STEPS,
        random_state=seed,
    ).fit_transform(reduced)
    return plane.astype(np.float64)


def compute_embeddings(
    features: Sequence[Floats],
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    cores: int | None = None,
) -> list[Floats]:
    """Embed the features that several networks compute for the same N images.

    Each network has its own t-SNE, because a joint t-SNE moves the points of one image together, so
    that a network that separates the domains looks like one that aligns them. The initial points
    are aligned, and the results are rotated towards the first network's.

    Args:
        features: of each network, (N, D); D may differ.
        perplexity: roughly the number of neighbours that t-SNE considers.
        seed: for t-SNE.
        cores: how many to use; None is all. They do not change the result.

    Returns:
        of each network, (N, 2).

    Raises:
        ValueError: the sample is too small for the perplexity.
    """
    from scipy.linalg import orthogonal_procrustes

    cores = cores or os.cpu_count() or 1
    workers = min(len(features), cores)

    def embed(each: Floats) -> Floats:
        # OpenMP counts the threads of each calling thread
        with threadpool_limits(cores // workers, user_api="openmp"):
            return compute_embedding(each, perplexity, seed, each[:, :2])

    with ThreadPoolExecutor(workers) as threads:  # t-SNE releases the GIL
        found = list(threads.map(embed, align_features(features)))
    planes: list[Floats] = []
    for plane in found:
        plane -= plane.mean(0)
        planes.append(plane @ orthogonal_procrustes(plane, planes[0])[0] if planes else plane)
    return planes


def compute_trust(features: Floats, plane: Floats) -> float:
    """Compute the trustworthiness of an embedding (N, 2) of features (N, D), in [0, 1].

    It measures whether neighbours in the plane are neighbours among the features, by scikit-learn.
    """
    from sklearn.manifold import trustworthiness

    neighbours = min(NUM_NEIGHBOURS, (len(features) - 1) // 2)
    return float(trustworthiness(features, plane, n_neighbors=neighbours))


def get_ready() -> None:
    """Import what this file needs, where it is called in another process."""
    import sklearn.decomposition
    import sklearn.manifold  # noqa: F401


def embed_features(
    features: Sequence[Floats], perplexity: float, seed: int, cores: int | None = None
) -> list[tuple[Floats, float]]:
    """Compute `compute_embeddings`, with the trustworthiness of each plane."""
    with threadpool_limits(cores):  # of BLAS too: threads that share a core wait long
        planes = compute_embeddings(features, perplexity, seed, cores)
        return list(zip(planes, map(compute_trust, features, planes), strict=True))
