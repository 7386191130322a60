#!/usr/bin/env bash
# A validation set taken from a Hugging Face stream is in the training set again, where workers load.
#
# stream.take(n) and stream.skip(n) are how a stream is split in two: the first n images validate, the
# others train. In a DataLoader with workers, each worker takes or skips its share of n at the start of
# its own files. Validated without workers, or with another number of them than in training, other
# images are taken than are skipped: here half of the validation images are trained on, and as many
# images are in neither. The sizes of both are as expected, and nothing is said. Expected: no image in
# both, or an error. The same number of workers for both gives it, as do files of their own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "datasets==5.2.0" "torch==2.14.1" "numpy==2.4.6"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PYTHON'
import datasets
import torch
from torch.utils.data import DataLoader

print(f"datasets {datasets.__version__}, torch {torch.__version__}")
datasets.disable_progress_bars()
datasets.logging.set_verbosity_error()
images = datasets.Dataset.from_dict({"image": list(range(400))})
stream = images.to_iterable_dataset(num_shards=8)
validation, training = stream.take(80), stream.skip(80)


def seen(stream, workers):
    loader = DataLoader(stream, batch_size=8, num_workers=workers)
    return [int(image) for batch in loader for image in batch["image"]]


shared = {}
for workers in ((0, 0), (0, 4), (2, 4), (4, 4)):
    one, other = (seen(*each) for each in zip((validation, training), workers))
    shared[workers] = len(set(one) & set(other))
    unseen = 400 - len(set(one) | set(other))
    print(f"{workers[0]} workers validate, {workers[1]} train: {len(one)} and {len(other)} images, ", end="")
    print(f"{shared[workers]} in both, {unseen} in neither")
assert shared[0, 0] == shared[4, 4] == 0 and shared[0, 4] == shared[2, 4] == 40, "this has changed"
PYTHON
