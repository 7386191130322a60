"""Take a training step of resnet18 as `dacbn train` does, for each line that is read.

Run as a script, in any build: served_step.py NORM PRECISION PIXELS IMAGES. It prints a line after
each step.
"""

import sys
from collections.abc import Iterator

import torch

from dacbn.batch import Batch
from dacbn.training import Records, TrainConfig, create_state, train

CLASSES = 10


def serve(norm: str, precision: str, pixels: int, images: int) -> None:
    """Train on one batch until there are no more lines."""
    config = TrainConfig.from_options(
        backbone="resnet18", norm=norm, precision=precision, steps=10**6, log_every=10**6
    )
    state = create_state(config, CLASSES, pixels, torch.device("cpu"))
    source, target = torch.rand(2, images, 3, pixels, pixels)
    batch = Batch(source, torch.arange(images) % CLASSES, target)

    def stream(start: int) -> Iterator[Batch]:
        for _ in sys.stdin:
            yield batch
            print("done", flush=True)  # the loop asks for the next batch after a step

    train(state, stream, config, Records(None))


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
