#!/usr/bin/env bash
# menelaus' CUSUM watches the start of the stream again after its first alarm, and not what arrives.
#
# CUSUM sums how far a stream's values, such as the errors or the brightness of arriving images, are from
# their mean. After an alarm it takes mean and spread of the last 30 values, and begins anew. It keeps all
# values in a list, and looks up the current one by how many came since the alarm: the first value after
# it is the first of the whole stream, and so on. So the next change is seen only when as many
# values have come again as before the alarm, and once the mean is the new one, the old values raise an
# alarm as often as they may, for ever. Nothing is said. Expected: alarms soon after changes, as CUSUM
# written in a few lines below has them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile "numpy==2.4.6" "scipy==1.17.1" \
    "scikit-learn==1.9.1" "pandas==3.1.1"
"$work/venv/bin/pip" install --quiet --no-compile --no-deps "menelaus==0.2.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from menelaus.change_detection import CUSUM

print(f"menelaus {version('menelaus')}, numpy {np.__version__}")
rng = np.random.default_rng(0)
noise = rng.normal(size=2000)
changes = {"stable": [], "changed at 500": [(500, 5)], "changed at 500 and 700": [(500, 5), (700, -5)]}


def theirs(stream):
    detector = CUSUM(target=0, sd_hat=1, delta=0.5, threshold=20)
    for place, value in enumerate(stream):
        detector.update(value)
        if detector.drift_state == "drift":
            yield place


def usual(stream):
    mean, spread, up, down, since = 0, 1, 0, 0, 0
    for place, value in enumerate(stream):
        since += 1
        up = max(0, up + (value - mean) / spread - 0.5)
        down = max(0, down - (value - mean) / spread - 0.5)
        if since > 30 and max(up, down) > 20:
            yield place
            last = stream[place - 29 : place + 1]
            mean, spread, up, down, since = last.mean(), last.std(), 0, 0, 0


found = {}
for name, steps in changes.items():
    stream = noise.copy()
    for place, level in steps:
        stream[place:] = noise[place:] + level
    found[name] = list(theirs(stream)), list(usual(stream))
    for whose, alarms in zip(("menelaus", "usual"), found[name], strict=True):
        print(f"2000 values, {name}: {len(alarms)} alarms, {whose}, the first at {alarms[:5]}")
assert found["stable"] == ([], []) and all(len(usual) <= 4 for _, usual in found.values())
assert any(700 <= place < 800 for place in found["changed at 500 and 700"][1])
assert len(found["changed at 500"][0]) > 20, "this has changed"
assert not any(600 < place < 1000 for place in found["changed at 500 and 700"][0]), "this has changed"
PYTHON
