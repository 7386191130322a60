#!/usr/bin/env bash
# The same tensors with the same metadata are other bytes in another process.
#
# safetensors keeps the entries of `metadata` in a hash table that is seeded anew in each process,
# and writes them in its order. One would expect that equal content gives equal files, as it does
# with no entry or one: checksums, caches and build systems that compare files see a change where
# there is none. Several entries have to be stored as one, for example as JSON text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "safetensors==0.8.0" "numpy==2.4.6"
cat > "$work/save.py" <<'PYTHON'
import hashlib
import sys

import numpy as np
import safetensors
from safetensors.numpy import save

entries = {name: "x" for name in "abcdefgh"[: int(sys.argv[1])]}
print(safetensors.__version__, hashlib.sha256(save({"w": np.zeros(2)}, entries)).hexdigest()[:12])
PYTHON
for count in 1 8; do
    for _ in 1 2 3 4 5 6; do "$work/venv/bin/python" "$work/save.py" "$count"; done > "$work/$count"
    echo "metadata with $count entries, six processes (version and sha256):"
    sort "$work/$count" | uniq -c
done
test "$(sort -u "$work/1" | wc -l)" -eq 1
test "$(sort -u "$work/8" | wc -l)" -gt 1 || { echo "this has changed"; exit 1; }
