#!/usr/bin/env bash
# albumentations draws the same augmentations in each epoch and each worker of a DataLoader.
#
# Compose makes one generator when it is built. Workers that are forked, as on Linux up to Python 3.13,
# start with a copy of it, all with the same; a DataLoader forks anew for each epoch, unless
# persistent_workers=True, and the generator of the main process never moves. So images with the
# same place in their worker's part are augmented alike, and each image alike in all epochs, with a
# seed and without one. Expected: other augmentations in each epoch, as torchvision draws them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "albumentations==2.0.8" \
    "numpy==2.4.6"
cat > "$work/epochs.py" <<'PYTHON'
import albumentations
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import ColorJitter

GREY = np.full((4, 4, 3), 100, np.uint8)


class Greys(Dataset):
    def __init__(self, brightness):
        self.brightness = brightness

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.brightness()


def by_albumentations(seed):
    change = albumentations.RandomBrightnessContrast((-0.5, 0.5), 0, p=1)
    compose = albumentations.Compose([change], seed=seed)
    return lambda: round(float(compose(image=GREY)["image"].mean()))


def by_torchvision():
    change, image = ColorJitter(brightness=0.5), torch.tensor(GREY).permute(2, 0, 1)
    return lambda: round(change(image).float().mean().item())


def epochs(brightness, persistent=False):
    loader = DataLoader(
        Greys(brightness),
        num_workers=2,
        persistent_workers=persistent,
        multiprocessing_context="fork",
    )
    return [[each.item() for each in loader] for _ in range(3)]


print(f"albumentations {albumentations.__version__}, torch {torch.__version__}")
found = {
    "albumentations": epochs(by_albumentations(None)),
    "albumentations, seed=0": epochs(by_albumentations(0)),
    "albumentations, persistent workers": epochs(by_albumentations(None), persistent=True),
    "torchvision": epochs(by_torchvision()),
}
for name, values in found.items():
    print(f"{name}: brightness of 4 images in 3 epochs, 2 workers in turn: {values}")


def repeats(name):
    first, second, third = found[name]
    return first == second == third, first[0::2] == first[1::2]


assert repeats("albumentations") == repeats("albumentations, seed=0") == (True, True), "changed"
assert repeats("albumentations, persistent workers") == (False, True), "this has changed"
assert repeats("torchvision") == (False, False)
PYTHON
NO_ALBUMENTATIONS_UPDATE=1 "$work/venv/bin/python" -W ignore "$work/epochs.py"
