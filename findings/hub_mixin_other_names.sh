#!/usr/bin/env bash
# The mixin of huggingface_hub loads a file with other names of weights, and says nothing.
#
# PyTorchModelHubMixin.from_pretrained loads with strict=False. A file whose names are not those of
# the network, for example after a layer was renamed, leaves the network with the random weights
# that it was built with, without a warning. One would expect an error, as torch's load_state_dict
# and safetensors' load_model give by default. from_pretrained(..., strict=True) gives it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6" "huggingface_hub==2.4.0" \
    "safetensors==0.8.0"
"$work/venv/bin/python" - <<'PYTHON'
import tempfile
import warnings

import huggingface_hub
import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn


class Before(nn.Module, PyTorchModelHubMixin):
    def __init__(self, width: int = 4):
        super().__init__()
        self.fc = nn.Linear(width, 2)

    def forward(self, x):
        return self.fc(x)


class Renamed(nn.Module, PyTorchModelHubMixin):
    def __init__(self, width: int = 4):
        super().__init__()
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(x)


print(f"huggingface_hub {huggingface_hub.__version__}")
warnings.simplefilter("error")
with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
    saved, x = Before(width=4), torch.ones(1, 4)
    saved.save_pretrained(folder)
    answers = [Renamed.from_pretrained(folder)(x) for _ in range(2)]
    print("saved:", saved(x).tolist(), "loaded twice:", [answer.tolist() for answer in answers])
    try:
        Renamed.from_pretrained(folder, strict=True)
        strict = "loads"
    except RuntimeError:
        strict = "raises RuntimeError"
    print("strict=True", strict)
silent = not torch.equal(answers[0], answers[1]) and strict == "raises RuntimeError"
assert silent, "this has changed"
PYTHON
