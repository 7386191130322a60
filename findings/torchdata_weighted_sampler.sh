#!/usr/bin/env bash
# torchdata's StatefulDataLoader goes on with other images if its sampler is weighted.
#
# Its state is there to continue an epoch where it was left. With shuffle=True it does, in any epoch.
# With a WeightedRandomSampler, as for balanced classes, it draws a new order and skips as many images
# as were seen: in the first epoch that is the same order, if all seeds are the same; in the second one
# it is the order of the first, so that some images come twice and others never. Nothing is said,
# and a generator of the sampler's own does not help. Expected: the rest of the epoch, or an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchdata==0.11.0" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from torch.utils.data import WeightedRandomSampler
from torchdata.stateful_dataloader import StatefulDataLoader

print(f"torchdata {version('torchdata')}, torch {torch.__version__}")
IMAGES = list(range(12))


def shuffled(generator):
    return StatefulDataLoader(IMAGES, batch_size=2, shuffle=True, generator=generator)


def weighted(generator):
    sampler = WeightedRandomSampler([1.0] * 12, 12, replacement=False, generator=generator)
    return StatefulDataLoader(IMAGES, batch_size=2, sampler=sampler, generator=generator)


def start(make):
    torch.manual_seed(0)
    return make(torch.Generator().manual_seed(0))


def take(batches, count):
    return [image for _ in range(count) for image in next(batches).tolist()]


found = {}
for make in (shuffled, weighted):
    for epoch in (1, 2):
        loader = start(make)
        for _ in range(epoch - 1):
            list(loader)
        batches = iter(loader)
        seen, state = take(batches, 3), loader.state_dict()
        rest = take(batches, 3)
        again = start(make)
        again.load_state_dict(state)
        resumed = take(iter(again), 3)
        twice, never = set(seen) & set(resumed), set(IMAGES) - set(seen) - set(resumed)
        found[make.__name__, epoch] = resumed == rest
        print(f"{make.__name__}, epoch {epoch}: after {seen} came {rest}, resumed {resumed}", end="")
        print(f"; twice: {sorted(twice)}, never: {sorted(never)}")
assert list(found.values()) == [True, True, True, False], "this has changed"
PYTHON
