#!/usr/bin/env bash
# POT's Sinkhorn transport finds a plan by the target's labels, and maps images without it.
#
# With labels of some target images, fit forbids transport between images of different classes, and coupling_
# obeys. SinkhornTransport.transform maps by the entropic map (out_of_sample_map="continuous", the default),
# which it computes anew from plain distances, also for the images of fit: classes that have changed places
# are mapped onto each other, as if there were no labels. EMDTransport and SinkhornLpl1Transport map by
# the plan, and so does out_of_sample_map="ferradans". Expected: that what fit was told has an effect.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pot==0.9.7.post1" "scipy==1.17.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import ot
from ot.da import EMDTransport, SinkhornLpl1Transport, SinkhornTransport

print(f"POT {ot.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
labels = np.repeat([0, 1], 60)
source = rng.normal(0, 0.5, (120, 2)) + np.array([[-2, 0], [2, 0]])[labels]
target = rng.normal(0, 0.5, (120, 2)) + np.array([[2, 1], [-2, 1]])[labels]  # the classes changed places
centres = np.array([target[labels == each].mean(0) for each in (0, 1)])


def right(points):
    return (((points[:, None] - centres) ** 2).sum(-1).argmin(1) == labels).mean()


found = {}
for name, transport in {
    "SinkhornTransport": SinkhornTransport(),
    'SinkhornTransport(out_of_sample_map="ferradans")': SinkhornTransport(out_of_sample_map="ferradans"),
    "SinkhornLpl1Transport": SinkhornLpl1Transport(),
    "EMDTransport": EMDTransport(),
}.items():
    transport.fit(Xs=source, ys=labels, Xt=target, yt=labels)
    plan = transport.coupling_
    by_plan = plan @ target / plan.sum(1, keepdims=True)
    found[name] = right(by_plan), right(transport.transform(Xs=source))
    print(f"{name}: of source images {found[name][0]:.0%} arrive in their class by coupling_,", end=" ")
    print(f"{found[name][1]:.0%} by transform")
assert all(by_plan == 1 for by_plan, _ in found.values())
assert [mapped for _, mapped in found.values()] == [0, 1, 1, 1], "this has changed"
PYTHON
