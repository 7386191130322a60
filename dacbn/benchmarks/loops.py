"""Time the training loop, compared with the loop that tutorials write."""

import itertools
from collections.abc import Callable
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.rivals import rival_loops
from dacbn.benchmarks.timing import time_candidates
from dacbn.datasets import LabelledImages, TensorImages, UnlabelledImages, stream_batches
from dacbn.methods import methods
from dacbn.methods.dann import adversarial_strength
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.models import create_network, mlp
from dacbn.training import Records, TrainConfig, TrainingState, train

NUM_IMAGES, NUM_CLASSES, SIZE = 4096, 10, 32


def benchmark_loops(
    steps: int = 60,
    batch_size: int = 64,
    rounds: int = 5,
    device: str = "cpu",
    bfloat16: bool = False,
) -> list[Row]:
    """Time DANN on the digits network, `steps` steps at a time, without augmentation.

    Other toolkits are included if they are installed. All run in one process. dacbn makes glibc
    keep freed memory, so the other loops are faster here than on their own.

    Args:
        steps: steps per measurement.
        batch_size: images of each domain per step.
        rounds: how often each loop is timed, alternating with the others.
        device: cpu or cuda.
        bfloat16: also time dacbn's loop in bfloat16.

    Returns:
        one row per loop: seconds, quartiles, the ratio to the tutorial's, and images per second.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (2, NUM_IMAGES, 3, SIZE, SIZE)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.arange(NUM_IMAGES) % NUM_CLASSES
    arguments = images, labels, steps, batch_size, device
    loops: dict[str, Callable[[], object]] = {
        "tutorial loop": _tutorial_loop(*arguments),
        "dacbn": _own_loop(*arguments, "float32"),
    }
    if bfloat16:
        loops["dacbn, bfloat16"] = _own_loop(*arguments, "bfloat16")
    data = images[0], labels, images[1]
    loops |= rival_loops(data, NUM_CLASSES, steps, batch_size, device)
    timings = time_candidates(loops, rounds, at_least=0, device=device, title="loops")
    count = 2 * batch_size * steps
    return [
        {"loop": name, **asdict(timing), "images_per_second": count / timing.seconds}
        for name, timing in timings.items()
    ]


def _own_loop(
    images: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    batch_size: int,
    device: str,
    precision: str,
) -> Callable[[], None]:
    settings = {"steps": steps, "source_batch_size": batch_size, "device": device}
    config = TrainConfig.from_options(norm=None, precision=precision, **settings)
    network = create_network("digits_cnn", None, NUM_CLASSES)
    method = methods.build("dann(head=(100,))", network).to(device)
    classes = tuple(map(str, range(NUM_CLASSES)))
    source, target = (TensorImages(part).to(torch.device(device)) for part in images)

    def run() -> None:
        state = TrainingState.create(method, config)
        with Records(None, 0, False) as records:
            train(
                state,
                lambda start: stream_batches(
                    [LabelledImages(source, labels, classes)],
                    [UnlabelledImages(target)],
                    source_batch_size=batch_size,
                    target_batch_size=batch_size,
                    family="none",
                    strong=False,
                    seed=0,
                    device=device,
                    start=start,
                    stop=steps,
                ),
                config,
                records,
            )

    return run


def _tutorial_loop(
    images: torch.Tensor, labels: torch.Tensor, steps: int, batch_size: int, device: str
) -> Callable[[], None]:
    """Return a tutorial's loop: sample-wise loaders, two forwards, the loss read at each step."""
    network = create_network("digits_cnn", None, NUM_CLASSES).to(device)
    head = mlp(network.num_features, (100,), 1).to(device)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()])
    datasets = TensorDataset(images[0] / 255, labels), TensorDataset(images[1] / 255)

    def run() -> None:
        network.train()
        source_batches, target_batches = (
            itertools.chain.from_iterable(
                itertools.repeat(DataLoader(data, batch_size, shuffle=True, drop_last=True))
            )
            for data in datasets
        )
        for step in range(steps):
            (source, wanted), (target,) = next(source_batches), next(target_batches)
            strength = adversarial_strength(step / steps)
            loss = torch.zeros((), device=device)
            for domain, batch in enumerate((source, target)):
                output = network(batch.to(device))
                guess = head(reverse_gradient(output.features, strength))
                loss = loss + F.binary_cross_entropy_with_logits(
                    guess, torch.full_like(guess, domain)
                )
                if domain == 0:
                    loss = loss + F.cross_entropy(output.logits, wanted.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()

    return run
