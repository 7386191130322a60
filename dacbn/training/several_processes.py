"""A training on several processes: one backward pass that averages gradients, and equal settings.

Each process runs the same steps of the same training. Only the first has the run folder.
"""

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn.parallel import DistributedDataParallel

from dacbn.methods import Objective, Step
from dacbn.norms import shared_batch_norms
from dacbn.processes import current, joined, tell_all
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.device import choose_device
from dacbn.training.roles import Role
from dacbn.training.run_folder import claim_run


@contextmanager
def on_processes(config: TrainConfig) -> Iterator[torch.device]:
    """Join the processes of a training, if there are several, and yield the device of this one.

    Raises:
        ValueError: there is no such device, the processes have unequal settings, or are more than
            the images of a step.
        LostProcessError: another process has ended, or does not answer.
    """
    device = choose_device(config.device)
    with joined(device, config.process_timeout, config.sync_group):
        _check_equal(config)
        yield device


@contextmanager
def open_run(
    run: str | Path | None, resume: bool, config: TrainConfig
) -> Iterator[tuple[torch.device, Path | None, dict[str, Any] | None]]:
    """Join the processes and claim the run folder; yield the device, the folder, its checkpoint.

    Arguments and errors as in `on_processes` and `claim_run`.
    """
    with on_processes(config) as device, claim_run(run, resume, config) as (folder, checkpoint):
        yield device, folder, checkpoint


def _check_equal(config: TrainConfig) -> None:
    free = config.names(Role.UNREPORTED)
    own = {name: value for name, value in config.to_json().items() if name not in free}
    said = tell_all(own)
    differing = [name for name in own if any(each[name] != said[0][name] for each in said)]
    if differing:
        raise ValueError(
            f"the processes differ in {', '.join(map(spell, differing))}: start all with the same "
            "settings"
        )
    images = config.source_batch_size + (config.target_batch_size if config.target else 0)
    if len(said) > images:
        raise ValueError(
            f"{len(said)} processes are more than the {images} images of a step: start fewer, or "
            f"raise {spell('source_batch_size')}"
        )


def check_same_data(places: Sequence[str], domains: Sequence[object]) -> None:
    """Check that all processes read the same domains, which each of several machines may hold.

    They are the same if they have as many images, and the same classes and labels.

    Args:
        places: names of the domains.
        domains: what was read there.

    Raises:
        ValueError: the processes differ in a domain.
    """
    if current() is None:
        return
    for place, domain in zip(places, domains, strict=True):
        said = tell_all(_describe(domain))
        for number, other in enumerate(said):
            if other != said[0]:
                raise ValueError(
                    f"{place} is not the same on all processes: {said[0][0]} images on process 0 "
                    f"and {other[0]} on process {number}, or other labels; give all machines the "
                    "same files"
                )


def _describe(domain: object) -> tuple[object, ...]:
    count = len(domain) if isinstance(domain, Sized) else "a stream of"
    labels = getattr(domain, "labels", None)
    content = labels.cpu().numpy().tobytes() if isinstance(labels, Tensor) else b""
    return count, getattr(domain, "classes", None), sha256(content).hexdigest()


@torch.no_grad()
def average_statistics(method: Objective) -> None:
    """Average running statistics over processes that see different batches, in one exchange.

    Processes that see one batch have equal ones by themselves.
    """
    share = current()
    if share is None or len(share.members) == share.count:
        return
    buffers = [buffer for buffer in method.buffers() if buffer.is_floating_point()]
    flat = torch.cat([buffer.reshape(-1) for buffer in buffers])
    dist.all_reduce(flat, group=share.group)
    pieces = torch.split(flat / share.count, [buffer.numel() for buffer in buffers])
    for buffer, piece in zip(buffers, pieces, strict=True):
        buffer.copy_(piece.view_as(buffer))


@contextmanager
def in_parallel(method: Objective) -> Iterator[Callable[..., Step]]:
    """Yield what runs a step of the method so that its gradients are those of all processes.

    Of one process it is the method itself.
    """
    share = current()
    if share is None:
        yield method
        return
    with shared_batch_norms(method):
        yield average_gradients(method, share.group)


def average_gradients(method: Objective, group: ProcessGroup) -> DistributedDataParallel:
    """Wrap a method so that its gradients are the mean over the processes of a group."""
    # statistics are equal on all processes by themselves; older torch has another name for that
    known = signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {name: False}
    # a step need not use every parameter: those of another stage wait
    return DistributedDataParallel(
        method, process_group=group, find_unused_parameters=True, **options
    )
