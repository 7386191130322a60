#!/usr/bin/env bash
# autorank's intervals for several methods are those of 95 % at any level, and forget the data sets.
#
# autorank compares classifiers by their accuracies on the same data sets. For three or more with normal
# accuracies it tests by an analysis of variance for repeated measures, in which each data set counts for
# itself; which methods differ is then read from the overlap of Tukey's intervals. These are made from all
# accuracies as if each method had had data sets of its own, so they are as wide as data sets are unlike:
# of methods that each data set ranks alike the report says "no significant differences". The level alpha,
# which "all results (incl. confidence intervals) together fulfill", reaches the first test only. Expected:
# intervals of the paired differences, at the level that was given.
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
from autorank import autorank, create_report
from scipy.stats import ttest_rel

print(f"autorank {version('autorank')}, statsmodels {version('statsmodels')}")
rng = np.random.default_rng(0)
ease = rng.normal(70, 10, 12)  # 12 data sets
better = {"source": 0, "dann": 2, "coral": 4}
accuracies = pd.DataFrame({name: ease + each + rng.normal(0, 0.5, 12) for name, each in better.items()})
intervals, report = {}, StringIO()
for alpha in (0.2, 0.001):
    with redirect_stdout(report):
        result = autorank(accuracies, alpha=alpha)
        create_report(result)
    intervals[alpha] = result.rankdf[["ci_lower", "ci_upper"]].astype(float)
    print(f"alpha {alpha}: {result.omnibus}, p = {result.pvalue:.0e}, {result.posthoc}")
    print(intervals[alpha].round(2).to_string())
groups = [line for line in report.getvalue().splitlines() if "Tukey HSD test, we assume" in line]
print("\n".join(groups))
pairs = [ttest_rel(accuracies["dann"], accuracies[name]).pvalue for name in ("source", "coral")]
print(f"paired t-tests of dann with source and coral: p = {pairs[0]:.0e} and {pairs[1]:.0e};", end=" ")
print(f"{(accuracies['dann'] > accuracies['source']).sum()} of 12 data sets have dann ahead of source")
assert result.posthoc == "tukeyhsd" and max(pairs) < 1e-5
assert intervals[0.2].equals(intervals[0.001]), "this has changed"
assert all("source and dann" in line for line in groups), "this has changed"
PYTHON
