#!/usr/bin/env bash
# Removing a parametrization from a deep copy takes the weight from the original.
#
# torch.nn.utils.parametrize gives a layer a class of its own, whose property computes the weight.
# copy.deepcopy keeps that class, so layer and copy share the property, and remove_parametrizations
# on the copy deletes it. One would expect a deep copy to share nothing: whoever exports a plain
# copy of a network with weight_norm or spectral_norm finds that the network itself has lost its
# weights, while is_parametrized still says that it has them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import copy

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

print(f"torch {torch.__version__}")
lost = []
for parametrize in (weight_norm, spectral_norm):
    layer = parametrize(nn.Linear(3, 2))
    plain = remove_parametrizations(copy.deepcopy(layer), "weight")
    lost.append(is_parametrized(layer, "weight") and not hasattr(layer, "weight"))
    print(
        f"{parametrize.__name__}: copy has a weight: {hasattr(plain, 'weight')}, original is "
        f"parametrized: {is_parametrized(layer)}, and has a weight: {hasattr(layer, 'weight')}"
    )
assert lost == [True, True], "this has changed"
PYTHON
