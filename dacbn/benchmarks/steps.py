"""Time the training steps of whole networks with each normaliser."""

from collections.abc import Callable, Iterable
from dataclasses import asdict

import torch

from dacbn.batch import Batch
from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.timing import time_candidates
from dacbn.methods import Step, methods
from dacbn.models import create_network
from dacbn.training import TrainConfig, TrainingState, optimise

BACKBONES = ("digits_cnn", "resnet18")
NUM_CLASSES = 10
CONFIG = TrainConfig(schedule="constant")


def benchmark_steps(
    specs: Iterable[str],
    backbones: Iterable[str] = BACKBONES,
    method: str = "dann",
    batch_size: int = 64,
    image_size: int = 32,
    rounds: int = 9,
    device: str = "cpu",
    bfloat16: bool = False,
) -> list[Row]:
    """Time whole training steps: forward, backward and optimiser.

    Args:
        specs: normalisers that replace all BatchNorms of a backbone.
        backbones: by name; the first row of each is the backbone with its own BatchNorms.
        method: adaptation method.
        batch_size: images of each domain per step.
        image_size: pixels per side.
        rounds: how often each is timed, alternating with the others.
        device: cpu or cuda.
        bfloat16: use autocast to bfloat16.

    Returns:
        one row per backbone and normaliser: seconds, quartiles, the ratio to the backbone's own
        BatchNorms, and images per second.
    """
    rows: list[Row] = []
    images = torch.rand(2, batch_size, 3, image_size, image_size, device=device)
    labels = torch.arange(batch_size, device=device) % NUM_CLASSES
    batch = Batch(images[0], labels, images[1])
    for backbone in backbones:
        norms = {"its own BatchNorm": None, **{spec: spec for spec in specs}}
        runs = {
            name: _step(new_state(backbone, norm, method, device), batch, bfloat16)
            for name, norm in norms.items()
        }
        for name, timing in time_candidates(runs, rounds, device=device, title=backbone).items():
            speed = {"images_per_second": 2 * batch_size / timing.seconds}
            rows.append({"backbone": backbone, "norm": name, **asdict(timing), **speed})
    return rows


def _step(state: TrainingState, batch: Batch, bfloat16: bool) -> Callable[[], None]:
    return lambda: take_step(state, state.method, batch, bfloat16)


def new_state(backbone: str, norm: str | None, method: str, device: str = "cpu") -> TrainingState:
    """Build what a step changes: a network with a normaliser, its method, and the optimiser."""
    network = create_network(backbone, norm, NUM_CLASSES)
    state = TrainingState.create(methods.build(method, network).to(device).train(), CONFIG)
    if device.startswith("cuda"):
        state.method.to(memory_format=torch.channels_last)
    return state


def take_step(
    state: TrainingState, method: Callable[..., Step], batch: Batch, bfloat16: bool = False
) -> None:
    """Take one step: forward by `method`, which is the state's or wraps it, backward, optimiser."""
    with torch.autocast(batch.source_images.device.type, torch.bfloat16, enabled=bfloat16):
        result = method(batch, 0.5)
    optimise(state, result, CONFIG)
