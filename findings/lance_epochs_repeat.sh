#!/usr/bin/env bash
# Lance's shuffled reading starts each epoch with the same random numbers, for everything else as well.
#
# ShardedFragmentSampler and ShardedBatchSampler, with randomize=True, let LanceDataset of lance.torch read the
# parts of a dataset in random order, and set_epoch tells them the epoch. They take no notice of it:
# the order of every epoch is the same. And they call random.seed of Python's own module for it, so that
# whatever draws from there, such as augmentations or a choice between source and target, draws in each
# epoch, run and process what it drew in the others, with whatever seed the run was started. Nothing is
# said. Expected: another order in each epoch, and random numbers that nobody else sets. (With a
# filter, ShardedBatchSampler has another order after set_epoch, and sets those numbers all the same.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pylance==14.0.2" "pyarrow==26.0.1" "numpy==2.4.6"
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import random
from importlib.metadata import version

import lance
import pyarrow as pa
from lance.sampler import ShardedBatchSampler, ShardedFragmentSampler

print(f"pylance {version('pylance')}, pyarrow {version('pyarrow')}")
data = lance.write_dataset(pa.table({"image": range(32)}), "images.lance", max_rows_per_file=2)


def read(sampler):
    order, flips = [], []
    for batch in sampler(data, batch_size=2, columns=["image"]):  # as LanceDataset calls it
        order += batch["image"].to_pylist()
        flips.append(int(random.random() < 0.5))
    return order, flips


same = []
for kind in (ShardedFragmentSampler, ShardedBatchSampler):
    epochs = []
    for run in ("one", "another"):
        sampler = kind(rank=0, world_size=1, randomize=True)
        for epoch in range(2):
            random.seed(f"run {run}, {kind.__name__}, epoch {epoch}")  # a seed of one's own
            sampler.set_epoch(epoch)
            order, flips = read(sampler)
            epochs.append((order, flips))
            print(f"{kind.__name__}, run {run}, epoch {epoch}: {order[:6]} ..., flipped {flips}")
    same.append(all(each == epochs[0] for each in epochs))
assert same == [True, True], "this has changed"
PYTHON
