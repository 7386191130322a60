#!/usr/bin/env bash
# Log records that a handler leaves out are printed while tqdm redirects logging.
#
# `logging_redirect_tqdm` replaces the handlers of a logger that print by one of its own, with the
# formatter and filters of the first, but not its level; further ones are dropped. A logger without
# such a handler gets one, too. One would expect that records go where they went before, only
# between the bars: here a handler of warnings prints infos, and a log file's records come out on
# the terminal. Handlers can write within `tqdm.external_write_mode` in place of that.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "tqdm==4.70.1"
cat > "$work/redirect.py" <<'PYTHON'
import logging
import sys

import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

print(tqdm.__version__)
warnings = logging.StreamHandler(sys.stdout)
warnings.setLevel(logging.WARNING)
for name, handler in (("warnings", warnings), ("file", logging.FileHandler("log.txt"))):
    log = logging.getLogger(name)
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    log.info("%s: before", name)
    with logging_redirect_tqdm([log]):
        log.info("%s: redirected", name)
PYTHON
cd "$work" && "$work/venv/bin/python" redirect.py > out.txt 2>&1
cat out.txt
test "$(grep -c redirected out.txt)" -eq 2 || { echo "this has changed"; exit 1; }
test "$(grep -c before out.txt)" -eq 0
