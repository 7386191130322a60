#!/usr/bin/env bash
# skada's deep embedded validation weights no error: its score is that of a plain average.
#
# DEV (You et al., ICML 2019) chooses models by errors on source images, each weighted by how much its
# image looks like the target. skada multiplies a column of n weights by a row of n errors: an n by n
# table of all products, whose mean is mean weight times mean error. The covariance for the control
# variate is that of the first two columns, so the errors of two images alone decide it. Whether a
# model errs where the target is or far from it is the same to the score: below, the same
# errors go once to the images that weigh most and once to those that weigh least.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "skada==0.6.0" "pot==0.9.7.post1" "scikit-learn==1.9.1" \
    "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import skada
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from skada import make_da_pipeline
from skada.metrics import DeepEmbeddedValidation

print(f"skada {skada.__version__}")
rng = np.random.default_rng(0)
x = np.concatenate([rng.normal(0, 1, (300, 1)), rng.normal(1, 1, (300, 1))])
y = (x[:, 0] + rng.normal(0, 0.5, 600) > 0).astype(int)
y[300:] = -1  # the target has no labels
domain = np.repeat([1, -2], 300)
model = make_da_pipeline(LogisticRegression()).fit(x, y, sample_domain=domain)

# what the score is made of, by the paper
split = train_test_split(x[:300], y[:300], test_size=0.33, random_state=np.random.RandomState(0))
train, held_out, _, labels = split
data, source = np.concatenate([train, x[300:]]), np.repeat([1, 0], [len(train), 300])
share = LogisticRegression().fit(data, source).predict_proba(held_out)
weights = len(train) / 300 * share[:, 0] / share[:, 1]
place = np.argsort(np.argsort(weights))  # 0: the least weight


def dev(errors):
    eta = -np.cov(weights * errors, weights)[0, 1] / np.var(weights, ddof=1)
    return (weights * errors).mean() + eta * weights.mean() - eta


def errors_of(y, probabilities):
    return np.sort(-np.log(probabilities[np.arange(len(y)), y]))


def most(y, probabilities):
    return errors_of(y, probabilities)[place]


def least(y, probabilities):
    return errors_of(y, probabilities)[::-1][place]


probabilities = model.predict_proba(held_out, sample_domain=np.ones(len(held_out), int), allow_source=True)
found = {}
for name, loss in (("most", most), ("least", least)):
    scorer = DeepEmbeddedValidation(loss_func=loss, random_state=0)
    theirs, paper = -scorer(model, x, y, sample_domain=domain), dev(loss(labels, probabilities))
    found[name] = theirs, paper
    print(f"errors at the images that weigh {name}: risk by skada {theirs:.3f}, by the paper {paper:.3f}")
average = errors_of(labels, probabilities).mean()
print(f"the plain average of the errors is {average:.3f}")
assert all(abs(theirs - average) < 0.02 for theirs, _ in found.values()), "this has changed"
assert found["most"][1] - found["least"][1] > 0.1
PYTHON
