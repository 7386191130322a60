#!/usr/bin/env bash
# skada's deep methods finish their training without a step if a domain has less than a batch.
#
# Batches are drawn from as many rows of each domain as fill whole ones, 128 by default. With 127 rows
# there is none of them: fit runs all epochs without a batch, predict answers with the weights that the
# network was made with, and no warning tells it. Expected: smaller batches, as torch's DataLoader and
# skorch give, or an error. Of 255 rows, an epoch sees 128.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "skada==0.6.0" "skorch==1.4.0" "pot==0.9.7.post1" \
    "scikit-learn==1.9.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import skada
import skorch
import torch
from skada.deep import DeepCoral
from skada.deep.modules import ToyModule2D

print(f"skada {skada.__version__}, skorch {skorch.__version__}")


def trained(rows):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (2 * rows, 2)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    x[rows:] += 1
    y[rows:] = -1  # the target has no labels
    torch.manual_seed(0)
    network = ToyModule2D()
    before = network.dense0.weight.detach().clone()
    model = DeepCoral(
        network, reg=1, layer_name="dropout", max_epochs=20, lr=0.1, train_split=None, verbose=0
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(x, y, sample_domain=np.repeat([1, -2], rows))
    after = model.module_.base_module_.dense0.weight
    steps = sum(len(epoch["batches"]) for epoch in model.history)
    change = (after - before).abs().max().item()
    print(f"{rows} rows of each domain: 20 epochs, {steps} steps, ", end="")
    print(f"weights moved by {change:.3f}, {len(said)} warnings")
    return steps, change, len(said)


assert trained(127) == (0, 0, 0), "this has changed"
steps, change, _ = trained(128)
assert steps == 20 and change > 0.01
assert trained(255)[0] == 20, "this has changed"
PYTHON
