#!/usr/bin/env bash
# autorank finds that a method which is better on 20 of 21 data sets makes no difference: p = 0.9998.
#
# autorank compares classifiers by their accuracies on the same data sets, and chooses the test by itself. For
# two of them whose accuracies are not normal it is Wilcoxon's signed-rank test, of the pairs, but one-sided:
# it asks whether the method with the larger median is better, in these very data. Where the medians, which
# know nothing of pairs, say otherwise than the pairs, p is near 1, however clear the pairs are. Where
# they agree, p is half of what it should be, so that equal methods differ too often. Only verbose=True
# prints that the test is one-sided; the t-test for normal accuracies is two-sided. Expected: Wilcoxon's
# test with two sides, as Demsar's paper (JMLR 2006) has it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile "autorank==1.3.0" "numpy==2.4.6" "scipy==1.17.1" \
    "pandas==3.1.1" "matplotlib==3.11.2" "statsmodels==0.15.0" "baycomp==1.0.3"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO

import numpy as np
import pandas as pd
from autorank import autorank
from scipy.stats import wilcoxon

print(f"autorank {version('autorank')}, scipy {version('scipy')}")


def compare(first, second):
    with redirect_stdout(StringIO()):
        result = autorank(pd.DataFrame({"first": first, "second": second}), force_mode="nonparametric")
    assert result.omnibus == "wilcoxon"
    return result.pvalue


rng = np.random.default_rng(0)
first = np.linspace(10, 90, 21)  # accuracies on 21 data sets
second = first + rng.uniform(0.5, 1, 21)
second[10] = first[10] - 5
p, two_sided = compare(first, second), wilcoxon(first, second).pvalue
print(f"better on {(second > first).sum()} of 21 data sets, worse on one: autorank p = {p:.4f}", end=", ")
print(f"Wilcoxon's test p = {two_sided:.4f}; medians {np.median(first):.1f} and {np.median(second):.1f}")


def one_sided(first, second):
    pair = (first, second) if np.median(first) >= np.median(second) else (second, first)
    return wilcoxon(*pair, alternative="greater").pvalue


def equal_methods():
    ease = 90 - rng.lognormal(1, 1, 20)
    return ease + rng.normal(0, 3, 20), ease + rng.normal(0, 3, 20)


pairs = [equal_methods() for _ in range(1500)]
same = all(abs(compare(*pair) - one_sided(*pair)) < 1e-12 for pair in pairs[:20])
often = np.mean([one_sided(*pair) < 0.05 for pair in pairs])
usual = np.mean([wilcoxon(*pair).pvalue < 0.05 for pair in pairs])
print(f"two equal methods differ at a level of 5% in {often:.1%}, by Wilcoxon's test in {usual:.1%}")
assert two_sided < 0.001 and 0.03 < usual < 0.07
assert same and p > 0.99 and often > 0.075, "this has changed"
PYTHON
