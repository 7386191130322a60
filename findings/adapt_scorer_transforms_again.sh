#!/usr/bin/env bash
# adapt's scorer of model selection scores each model on data that the models before it transformed.
#
# make_uda_scorer returns a function for GridSearchCV and cross_val_score, which measures the
# distance of source and target after the model's transform. It keeps what it transformed in place of
# the data that it was given, so that the next call transforms that again, by another model: the
# same fitted model has a new score in each call, and the winner of a search is a matter of the order of
# candidates. Expected: the same score for the same model. A scorer made anew for each call
# gives it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "tensorflow-cpu==2.21.0" "keras==3.15.1" "scikeras==0.13.0" \
    "cvxopt==1.3.3" "scikit-learn==1.9.1" "numpy==2.4.6"
"$work/venv/bin/pip" install --quiet --no-deps "adapt==0.4.5"
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from adapt.feature_based import CORAL
from adapt.metrics import cov_distance, make_uda_scorer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

print(f"adapt {version('adapt')}, scikit-learn {version('scikit-learn')}")
rng = np.random.default_rng(0)
source, target = rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) * [1, 3, 0.3]
labels = (source[:, 0] > 0).astype(int)


def coral(**options):
    return CORAL(LogisticRegression(), Xt=target, verbose=0, **options)


def scorer():
    return make_uda_scorer(cov_distance, source, target)


model = coral(lambda_=0.5).fit(source, labels)
again = scorer()
one = [again(model, source, labels) for _ in range(3)]
anew = [scorer()(model, source, labels) for _ in range(3)]
print("one model, one scorer:", *(f"{score:.3f}" for score in one))
print("one model, a scorer for each call:", *(f"{score:.3f}" for score in anew))

found = []
for values in ([0.0, 0.5, 10.0], [10.0, 0.5, 0.0]):
    search = GridSearchCV(coral(), {"lambda_": values}, scoring=scorer(), cv=3).fit(source, labels)
    found.append(search.best_params_["lambda_"])
    scores = ", ".join(f"{score:.3g}" for score in search.cv_results_["mean_test_score"])
    print(f"search over {values}: scores {scores}, so the best is {found[-1]}")
assert len(set(np.round(anew, 9))) == 1
assert one[0] == anew[0] and one[2] < 10 * one[0], "this has changed"
assert found == [0, 10], "this has changed"
PYTHON
