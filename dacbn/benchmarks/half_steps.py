"""Steps on photographs in bfloat16: BatchNorm and normalisers, a tutorial's loop, peak memory.

`python half_steps.py` runs by itself too, with the build of dacbn that Python finds, so that the
same code measures two builds. So it uses of this package only what earlier versions have too.
"""

import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

from dacbn.batch import Batch
from dacbn.benchmarks.memory import peak_bytes
from dacbn.methods import methods
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.models import create_network, mlp
from dacbn.training import TrainConfig, TrainingState, optimise
from dacbn.training.allocator import keep_freed_memory

BACKBONE, SIZE, NUM_CLASSES = "resnet18", 224, 10
DEFAULT = "ucb_norm(num_clusters=2, assign='sample')"
NORMS = (DEFAULT, "ucb_norm(num_clusters=3)")
TUTORIAL = "a tutorial's DANN loop"


def time_photograph_steps(
    norms: Iterable[str] = NORMS,
    images: int = 32,
    rounds: int = 7,
    backbone: str = BACKBONE,
    bfloat16: bool = True,
    channels_last: bool | None = None,
) -> dict[str, dict[str, float]]:
    """Time forward and backward passes of a backbone with its BatchNorms and with others.

    Args:
        norms: normalisers that replace all BatchNorms.
        images: of 224 pixels.
        rounds: how often each is timed, alternating with the others, which is the first's ratio.
        backbone: by name.
        bfloat16: use autocast to bfloat16.
        channels_last: lay weights and images out like this; None leaves it to the build.

    Returns:
        by norm, seconds, the ratio to BatchNorm, images per second and peak bytes.
    """
    keep_freed_memory()
    candidates = {"BatchNorm": _pass(None, images, backbone, bfloat16, channels_last)}
    candidates |= {n: _pass(n, images, backbone, bfloat16, channels_last) for n in norms}
    return {
        name: {
            "seconds": seconds,
            "ratio": ratio,
            "images_per_second": images / seconds,
            "peak_bytes": peak_bytes(candidates[name]),
        }
        for name, (seconds, ratio) in _time(candidates, rounds).items()
    }


def time_photograph_loops(
    norms: Iterable[str] = (DEFAULT,), images: int = 16, rounds: int = 7
) -> dict[str, dict[str, float]]:
    """Time DANN's step as a tutorial writes it, on a contiguous network of timm, and dacbn's.

    Args:
        norms: normalisers of dacbn's networks.
        images: of each domain.
        rounds: how often each is timed, alternating with the others.

    Returns:
        by loop, seconds, the speed relative to the tutorial's, and images per second.
    """
    keep_freed_memory()
    batch = Batch(*_images(images))
    candidates: dict[str, Callable[[], None]] = {TUTORIAL: _tutorial_step(batch)}
    for norm in norms:
        candidates[f"dacbn, {norm}"] = _own_step(norm, batch)
    return {
        name: {
            "seconds": seconds,
            "speed": 1 / ratio,
            "images_per_second": 2 * images / seconds,
        }
        for name, (seconds, ratio) in _time(candidates, rounds).items()
    }


def _time(candidates: dict[str, Callable[[], None]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of seconds and of ratios to the first in the same round, by name."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if number:  # the first is a warm-up
                times[name].append(time.perf_counter() - start)
    first = next(iter(times.values()))
    return {
        name: (median(row), median(mine / theirs for mine, theirs in zip(row, first, strict=True)))
        for name, row in times.items()
    }


def _images(images: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source, target = torch.rand(2, images, 3, SIZE, SIZE)
    return source, torch.arange(images) % NUM_CLASSES, target


def _pass(
    norm: str | None, images: int, backbone: str, bfloat16: bool, channels_last: bool | None
) -> Callable[[], None]:
    network: Any = create_network(backbone, norm, NUM_CLASSES).backbone.train()
    x = torch.rand(images, 3, SIZE, SIZE)
    if channels_last is not None:
        form = torch.channels_last if channels_last else torch.contiguous_format
        network, x = network.to(memory_format=form), x.contiguous(memory_format=form)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            features = network(x)
        features.float().square().mean().backward()
        network.zero_grad(set_to_none=True)

    return run


def _own_step(norm: str, batch: Batch) -> Callable[[], None]:
    config = TrainConfig(schedule="constant")
    method = methods.build("dann", create_network(BACKBONE, norm, NUM_CLASSES)).train()
    state = TrainingState.create(method, config)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            result = method(batch, 0.5)
        optimise(state, result, config)

    return run


def _tutorial_step(batch: Batch) -> Callable[[], None]:
    import timm

    network: Any = timm.create_model(BACKBONE, num_classes=0).train()
    classifier = torch.nn.Linear(network.num_features, NUM_CLASSES)
    head = mlp(network.num_features, (100,), 1)
    parts = torch.nn.ModuleList([network, classifier, head])
    optimizer = torch.optim.AdamW(parts.parameters())

    def run() -> None:
        loss = torch.zeros(())
        with torch.autocast("cpu", torch.bfloat16):
            for domain, images in enumerate((batch.source_images, batch.target_images)):
                features = network(images)
                guess = head(reverse_gradient(features, 0.5)).float()
                wanted = torch.full_like(guess, domain)
                loss = loss + F.binary_cross_entropy_with_logits(guess, wanted)
                if domain == 0:
                    logits = classifier(features).float()
                    loss = loss + F.cross_entropy(logits, batch.source_labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()

    return run


if __name__ == "__main__":
    torch.set_num_threads(2)
    for measure in (time_photograph_steps, time_photograph_loops):
        for name, row in measure().items():
            print(name, {key: float(f"{value:.4g}") for key, value in row.items()}, flush=True)
