#!/usr/bin/env bash
# ray.init replaces the program's handler of SIGTERM, and does not put it back.
#
# A program that saves its work on SIGTERM, and then starts Ray on its own machine, no longer saves:
# the handler is Ray's, which ends the process, also after ray.shutdown. One would expect that a
# handler of the program's own stays, as it does for SIGINT, or comes back at the end. The cure is
# to remember it before ray.init, and to set it again after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "ray==2.60.0"
cat > "$work/handlers.py" <<'PYTHON'
import signal

import ray


def save(number, frame):
    """Save the work."""


def kept():
    return [signal.getsignal(number) is save for number in (signal.SIGINT, signal.SIGTERM)]


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, save)
print("ray", ray.__version__)
print("own handlers of SIGINT and SIGTERM before ray.init:", kept())
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
during = kept()
print("after ray.init:", during)
ray.shutdown()
print("after ray.shutdown:", kept())
assert during == kept() == [True, False], "this has changed"
PYTHON
RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" "$work/handlers.py" 2> "$work/errors" || {
    tail -5 "$work/errors"
    exit 1
}
