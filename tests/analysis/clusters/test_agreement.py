"""Agreement of partitions, against scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from dacbn.analysis.clusters.agreement import adjusted_rand, entropy, nmi


def labels_of(table):
    """Expand counts into two labels for each thing."""
    pairs = [(a, b) for (a, b), count in np.ndenumerate(table) for _ in range(int(count))]
    return zip(*pairs, strict=True)


TABLES = [
    [[5, 0], [0, 7]],
    [[3, 3], [3, 3]],
    [[9, 1, 0], [2, 2, 8]],
    [[4, 4, 4]],
    [[1], [2], [3]],
    [[0, 0, 6], [0, 0, 0], [5, 0, 1]],
]


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_agreement_is_scikit_learns(table):
    table = np.array(table, dtype=float)
    first, second = labels_of(table)
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)
    if min(table.shape) > 1:
        expected = normalized_mutual_info_score(first, second)
        assert nmi(table) == pytest.approx(expected, abs=1e-12)
        assert nmi(table / table.sum()) == pytest.approx(expected, abs=1e-12)


def test_tables_are_compared_one_by_one():
    tables = np.random.default_rng(0).integers(1, 9, (4, 2, 3)).astype(float)
    for measure in (nmi, adjusted_rand):
        assert measure(tables).tolist() == pytest.approx(
            [float(measure(table)) for table in tables]
        )


def test_a_partition_with_one_part_tells_nothing():
    assert nmi(np.array([[4.0, 5.0, 6.0]])) == 0
    assert nmi(np.array([[4.0, 0.0], [5.0, 0.0]])) == 0


def test_entropy_is_scipys():
    shares = np.array([[0.7, 0.3, 0.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    assert entropy(shares).tolist() == pytest.approx(scipy_entropy(shares, axis=1).tolist())
