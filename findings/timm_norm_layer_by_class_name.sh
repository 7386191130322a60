#!/usr/bin/env bash
# timm takes its own normaliser where a class of one's own has a common name.
#
# timm.create_model(name, norm_layer=MyClass) builds a resnet with MyClass. In networks that fuse the
# activation into the normaliser (densenet, efficientnet) timm looks the class up by the name that it
# was given in Python, in lower case: one called LayerNorm, GroupNorm, BatchNorm2d or the like becomes
# timm's own layer of that name, without a warning; one of any other name raises "No equivalent
# norm_act layer". Expected: the class that was passed, or the same error for both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import timm
import torch
from torch import nn


class LayerNorm(nn.Module):
    """Somebody's own layer, which doubles its input."""

    def __init__(self, channels, **options):
        super().__init__()

    def forward(self, x):
        return 2 * x


class Doubling(LayerNorm):
    pass


print(f"torch {torch.__version__}, timm {timm.__version__}")
found = {}
for network in ("resnet18", "densenet121"):
    for layer in (LayerNorm, Doubling):
        try:
            model = timm.create_model(network, norm_layer=layer)
            mine = sum(isinstance(each, LayerNorm) for each in model.modules())
            theirs = sum(isinstance(each, nn.LayerNorm) for each in model.modules())
            found[network, layer.__name__] = f"{mine} of mine, {theirs} of timm's"
        except AssertionError as error:
            found[network, layer.__name__] = str(error)
for case, text in found.items():
    print(*case, text, sep=": ")
assert found["resnet18", "LayerNorm"].startswith("20 of mine")
assert found["densenet121", "LayerNorm"].startswith("0 of mine"), "this has changed"
assert found["densenet121", "Doubling"].startswith("No equivalent"), "this has changed"
PYTHON
