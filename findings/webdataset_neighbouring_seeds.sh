#!/usr/bin/env bash
# Runs of webdataset with neighbouring seeds see each other's shuffles, one epoch apart.
#
# detshuffle orders an epoch by the sum of its seed and the number of the epoch. So seed 0 in its
# second epoch has the order of seed 1 in its first, and so on: three runs with the seeds 0, 1 and 2
# share most of their orders, where whoever repeats a run with other seeds expects independent ones.
# A seed that is hashed with the epoch, or seeds that are far apart, have no order in common.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "webdataset==1.0.2" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import webdataset

print(f"webdataset {version('webdataset')}")


def orders(seed, epochs=3):
    stage = webdataset.detshuffle(bufsize=10, initial=10, seed=seed)
    return [list(stage.run(iter(range(10)))) for _ in range(epochs)]


first, second, far = orders(0), orders(1), orders(1_000_000)
for seed, found in ((0, first), (1, second), (1_000_000, far)):
    for epoch, order in enumerate(found):
        print(f"seed {seed}, epoch {epoch}: {order}")
assert first[1:] == second[:-1], "this has changed"
assert not any(order in first for order in far)
PYTHON
