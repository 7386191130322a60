#!/usr/bin/env bash
# torch's fused optimisers update the wrong numbers if their state has another memory format.
#
# A network trains, its weights and the optimiser's state are saved, and a channels_last network
# loads both. Weights are copied into the layout of the new network; the optimiser keeps its moments
# in the layout in which they were saved. On a CPU, AdamW and SGD with fused=True then walk over
# weights and moments in the order of memory, so that a weight meets the moments of another, without
# an error. The default, foreach=True and one by one take the right step. Copying the moments into
# the layout of the weights cures it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import copy
import io

import torch

print(f"torch {torch.__version__}")


def take_step(layer, optimiser, x):
    optimiser.zero_grad()
    layer(x).square().mean().backward()
    optimiser.step()


def resumed(make, laid_out=False, **options):
    """Return the weights after one step in each layout from the same saved training."""
    torch.manual_seed(0)
    x, layer = torch.randn(4, 3, 8, 8), torch.nn.Conv2d(3, 8, 3)
    optimiser = make(layer.parameters(), **options)
    for _ in range(3):
        take_step(layer, optimiser, x)
    file = io.BytesIO()
    torch.save((layer.state_dict(), optimiser.state_dict()), file)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        file.seek(0)
        weights, state = torch.load(file)
        again = copy.deepcopy(layer).to(memory_format=layout)
        optimiser = make(again.parameters(), **options)
        again.load_state_dict(weights)
        optimiser.load_state_dict(state)
        for weight, moments in optimiser.state.items() if laid_out else ():
            for name, value in moments.items():
                if value.shape == weight.shape:
                    moments[name] = torch.empty_like(weight).copy_(value)
        before = again.weight.detach().clone()
        take_step(again, optimiser, x)
        results.append(again.weight.detach() - before)
    return ((results[0] - results[1]).abs().max() / results[0].abs().max()).item()


def adamw(parameters, **options):
    return torch.optim.AdamW(parameters, lr=1e-3, **options)


def sgd(parameters, **options):
    return torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, **options)


for make in (adamw, sgd):
    found = {
        "foreach": resumed(make, foreach=True),
        "one by one": resumed(make, foreach=False),
        "fused": resumed(make, fused=True),
        "fused, moments laid out as the weights": resumed(make, laid_out=True, fused=True),
    }
    for name, difference in found.items():
        print(f"{make.__name__}, {name}: the step differs by {difference:.1e} of its largest value")
    assert found["fused"] > 0.1, "this has changed"
    assert max(difference for name, difference in found.items() if name != "fused") < 1e-3, "changed"
PYTHON
