#!/usr/bin/env bash
# libTLDA's kernel mean matching gives most weight to the source images that are least like the target.
#
# Kernel mean matching (Huang et al., NIPS 2006) weighs source images so that their mean in the kernel's space
# is the target's: by the weights w of least w'Kw / 2 - k'w, where k is how near each image is to the target.
# ImportanceWeightedClassifier(iwe="kmm") takes + k, so that images are punished for being near the target.
# Nothing is said. Below, two thirds of the source lie where the target is, and the others follow the
# opposite rule: without weights the classifier is nearly always right, and with them it is hardly better
# than chance. Expected: the weights of the same problem with - k, by which it is best.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile "numpy==2.4.6" "scipy==1.17.1" "scikit-learn==1.9.1" \
    "cvxopt==1.3.3" "matplotlib==3.11.2"
"$work/venv/bin/pip" install --quiet --no-compile --no-deps "libtlda==0.1.5"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from cvxopt import matrix, solvers
from libtlda.iw import ImportanceWeightedClassifier
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression

print(f"libtlda {version('libtlda')}, cvxopt {version('cvxopt')}, scikit-learn {version('scikit-learn')}")
solvers.options["show_progress"] = False
rng = np.random.default_rng(0)


def domain(places):
    x = np.column_stack([rng.normal(places, 0.5), rng.normal(size=len(places))])
    return x, (x[:, 1] * np.sign(places) > 0).astype(int)  # the rule is the opposite on the other side


def mean_matching(source, target):  # the same kernel and limits, as the paper has them
    n = len(source)
    near = cdist(source, target, lambda a, b: np.exp(-np.linalg.norm(a - b) / 2)).mean(1) * n
    kernel = np.exp(-cdist(source, source) / 2)
    limits = np.concatenate([np.ones((1, n)), -np.ones((1, n)), -np.eye(n)])
    bounds = np.concatenate([[np.sqrt(n) + n, np.sqrt(n) - n], np.zeros(n)])
    return np.array(solvers.qp(*map(matrix, (kernel, -near, limits, bounds)))["x"])[:, 0]


source, labels = domain(np.repeat([2.0, -2.0], [200, 100]))
target, answers = domain(np.full(200, 2.0))
classifier = ImportanceWeightedClassifier(iwe="kmm", loss="logistic")
classifier.fit(source, labels, target)
weights = {
    "without weights": np.ones(300),
    "weighted by libTLDA": classifier.iwe_kernel_mean_matching(source, target),
    "weighted by the paper": mean_matching(source, target),
}
found = {}
for name, each in weights.items():
    score = LogisticRegression().fit(source, labels, each).score(target, answers)
    found[name] = each[:200].sum() / each.sum(), score
    print(f"{name}: {found[name][0]:.1%} of the weight is near the target, accuracy there {score:.1%}")
fitted = (classifier.predict(target) == answers).mean()
print(f"ImportanceWeightedClassifier: accuracy on the target {fitted:.1%}")
theirs, paper = found["weighted by libTLDA"], found["weighted by the paper"]
assert paper[0] > 0.9 and paper[1] > 0.95 and found["without weights"][1] > 0.9
assert theirs[0] < 0.4 and fitted == theirs[1] < 0.7, "this has changed"
PYTHON
