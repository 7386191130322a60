#!/usr/bin/env bash
# The mixin of huggingface_hub writes the default of an argument where another value was given.
#
# A network of PyTorchModelHubMixin is built again from the arguments in its config.json. What is no JSON is left
# out without a word: a class or function (norm=nn.InstanceNorm2d), and also numbers of NumPy, as a mean and
# deviation of the images or a fitted temperature are. In their place the file has the default, as if it
# had been chosen. Where names and shapes of the weights are the same, from_pretrained loads them,
# with strict=True too, into another function: here batches are normalised otherwise, and probabilities
# have another temperature. Expected: an error when it is saved, or the numbers as numbers. A pair of
# functions in `coders` for each such type, which the class is given, keeps them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "huggingface_hub==2.4.0" "safetensors==0.8.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import tempfile
from functools import partial
from pathlib import Path

import huggingface_hub
import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

print(f"huggingface_hub {huggingface_hub.__version__}, torch {torch.__version__}, numpy {np.__version__}")


class Network(nn.Module, PyTorchModelHubMixin):
    def __init__(self, norm=nn.BatchNorm1d, mean=(0.0, 0.0), temperature=1.0):
        super().__init__()
        self.norm, self.last = norm(2, affine=False), nn.Linear(2, 3)
        self.mean, self.temperature = mean, temperature

    def forward(self, x):
        x = self.norm(x - torch.as_tensor(self.mean, dtype=torch.float32))
        return (self.last(x) / self.temperature).softmax(1)


def there_and_back(**arguments):
    """Answers before and after, and config.json, of a network that is saved and loaded strictly."""
    torch.manual_seed(0)
    network = Network(**arguments).eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        network.save_pretrained(folder)
        back = Network.from_pretrained(folder, strict=True)
        rows = torch.randn(5, 2)
        return network(rows)[0], back(rows)[0], Path(folder, "config.json").read_text()


pixels = np.random.default_rng(0).normal(3, 1, (50, 2)).astype(np.float32)
found = {}
for name, arguments in {
    "plain numbers": {"mean": pixels.mean(0).tolist(), "temperature": 4.0},
    "NumPy's mean": {"mean": pixels.mean(0)},
    "NumPy's float32": {"temperature": pixels.max()},
    "a function": {"norm": partial(nn.BatchNorm1d, eps=1.0)},
}.items():
    before, after, file = there_and_back(**arguments)
    found[name] = torch.allclose(before, after)
    print(f"{name}: {before.tolist()} before, {after.tolist()} after; {' '.join(file.split())}")
assert found.pop("plain numbers")
assert not any(found.values()), "this has changed"
PYTHON
