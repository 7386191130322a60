#!/usr/bin/env bash
# torch's fused SGD cannot take a parameter whose first gradient comes after the first step.
#
# SGD with momentum keeps a buffer for each parameter, from its first gradient on. With fused=True,
# a step in which some parameters have a buffer and others do not raises TypeError ("expected Tensor
# ... but got NoneType"). The default and foreach=True take the same step, and give a new parameter
# its buffer. Networks with stages meet it, such as a discriminator that starts after a warm-up.
# Buffers of zeros, put into the optimiser's state before the first step, change no number and cure
# it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch

print(f"torch {torch.__version__}")


def two_steps(zeros=False, **options):
    early, late = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimiser = torch.optim.SGD([early, late], lr=0.1, momentum=0.9, **options)
    if zeros:
        for each in (early, late):
            optimiser.state[each]["momentum_buffer"] = torch.zeros_like(each)
    early.grad = torch.ones(2)
    optimiser.step()
    late.grad = torch.ones(2)
    try:
        optimiser.step()
    except TypeError as error:
        return f"TypeError: {error}"
    return early.tolist(), late.tolist()


found = {
    "foreach": two_steps(foreach=True),
    "one by one": two_steps(foreach=False),
    "fused": two_steps(fused=True),
    "fused, buffers of zeros": two_steps(zeros=True, fused=True),
}
for name, result in found.items():
    print(f"{name}: {result}")
assert found["foreach"] == found["one by one"] == found["fused, buffers of zeros"], "changed"
assert str(found["fused"]).startswith("TypeError"), "this has changed"
PYTHON
