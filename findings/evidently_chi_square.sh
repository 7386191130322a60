#!/usr/bin/env bash
# evidently finds a drift of the classes in most samples of the same classes.
#
# For up to 1000 rows of classes, such as a network's predictions, evidently's drift report takes the
# chi-square test by itself: drift if p < 0.05. It tests the current shares against those of the reference
# as if these were known exactly, though they come from a sample as well. For samples of equal size the
# statistic is twice what it should be: of 12 classes that never change more than half of the samples have
# drifted, and nearly all with a reference that is smaller than they are. Expected: the test of two samples,
# as in scipy's chi2_contingency, which finds a drift in 5 %. (What its server needs is left out.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile "numpy==2.2.6" "pandas==2.2.3" "scipy==1.17.1" \
    "scikit-learn==1.9.1" "plotly==5.24.1" "pydantic==2.14.4" "nltk==3.10.4" "litestar==2.25.0" \
    "rich==15.0.0" "typing-inspect==0.9.0" "opentelemetry-proto==1.45.2" "uuid6==2025.0.1" "ujson==6.1.0" \
    "deprecation==2.1.0" "requests==2.34.2" "fsspec==2026.9.0" "PyYAML==6.0.4"
"$work/venv/bin/pip" install --quiet --no-compile --no-deps "evidently==0.7.23"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from scipy.stats import chi2_contingency

print(f"evidently {version('evidently')}, scipy {version('scipy')}, pandas {pd.__version__}")
rng = np.random.default_rng(0)
classes = [f"class {number}" for number in range(12)]
columns = DataDefinition(categorical_columns=["answer"])


def answers(count):
    return pd.DataFrame({"answer": rng.choice(classes, count)})


def theirs(reference, current):
    tables = (Dataset.from_pandas(each, data_definition=columns) for each in (current, reference))
    result = Report([ValueDrift(column="answer")]).run(*tables).dict()["metrics"][0]
    return result["value"]


def usual(reference, current):
    return chi2_contingency([each["answer"].value_counts()[classes] for each in (reference, current)]).pvalue


found = {}
for sizes in ((500, 500), (200, 1000)):
    pairs = [tuple(answers(size) for size in sizes) for _ in range(60)]
    drifts = sum(theirs(*pair) < 0.05 for pair in pairs)
    found[sizes] = drifts, sum(usual(*pair) < 0.05 for pair in pairs)
    print(f"reference of {sizes[0]}, {sizes[1]} of the same 12 classes: drift in {drifts} of 60", end=", ")
    print(f"by chi2_contingency in {found[sizes][1]}")
assert all(each[1] <= 8 for each in found.values())
assert found[500, 500][0] > 24 and found[200, 1000][0] > 40, "this has changed"
PYTHON
