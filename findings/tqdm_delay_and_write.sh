#!/usr/bin/env bash
# A bar that waits for its delay is drawn early by tqdm.write, and then never removed.
#
# A bar with `delay` shows nothing before that time, and `leave=False` removes it at the end. After
# text written by `tqdm.write` (or in `external_write_mode`) all bars are drawn, also those that
# still wait; `close` takes a bar within its delay for one that was never drawn, and leaves it on
# the terminal. One would expect the text alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "tqdm==4.70.1"
cat > "$work/bar.py" <<'PYTHON'
import io

import tqdm

print(tqdm.__version__)
for delay in (0, 60):
    terminal = io.StringIO()
    with tqdm.tqdm(total=10, delay=delay, leave=False, ncols=30, file=terminal) as bar:
        bar.update(3)
        tqdm.tqdm.write("a line", file=terminal)
    last = terminal.getvalue().split("\n")[-1]
    print(f"delay {delay}: after the line {last!r}; the bar is", "gone" if last[-1] == "\r" else "left")
PYTHON
"$work/venv/bin/python" "$work/bar.py" | tee "$work/out.txt"
grep -q "delay 0: .* gone" "$work/out.txt"
grep -q "delay 60: .* left" "$work/out.txt" || { echo "this has changed"; exit 1; }
