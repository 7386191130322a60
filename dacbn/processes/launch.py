"""Join the processes that torchrun or Slurm has started for one training."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dacbn.processes.launched import Launched
from dacbn.processes.leading import Elsewhere, LostProcessError
from dacbn.processes.membership import Share, current, sharing

PORT = 29400  # of Slurm's jobs, which have none: this and the next thousand, by the job's number
PATIENCE = 3.0  # seconds for the others to say that they wait too

_met = False


def has_met() -> bool:
    """Whether this process has joined others, also if it has left them again."""
    return _met


@contextmanager
def joined(device: torch.device, minutes: float = 10.0, sync_group: int = 0) -> Iterator[None]:
    """Join the other processes in a `with` block; of a process by itself it does nothing.

    Processes that a program has joined already, by `init_process_group`, are used as they are.

    Args:
        device: to compute on; several on GPUs talk by NCCL, others by Gloo.
        minutes: after which a process that does not answer ends the others.
        sync_group: processes whose batches normalisers see as one; 0 is all.

    Raises:
        LostProcessError: another process has ended, or does not answer.
        ValueError: the processes cannot be divided into such groups.
        Elsewhere: all processes failed for one reason, which the first reports.
    """
    if current() is not None:
        yield
        return
    launched = Launched.read()
    own = not dist.is_initialized()
    if own and launched is None:
        yield
        return
    if own and launched is not None:
        _join(launched, device, timedelta(minutes=minutes))
    try:
        with sharing(_share(sync_group)):
            yield
    except Exception as error:
        if _is_of_exchange(error):
            raise _lost_process(minutes) from error
        if _is_said_by_first(error):
            raise Elsewhere(str(error)) from error
        raise
    finally:
        if own:
            dist.destroy_process_group()


def _join(launched: Launched, device: torch.device, timeout: timedelta) -> None:
    global _met
    host, port = _meeting_point()
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun holds the store
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            *(host, port, launched.count, launched.rank == 0 and not agent),
            timeout=timeout,
            wait_for_workers=False,
        )
    except RuntimeError as error:
        raise LostProcessError(
            f"process {launched.rank} cannot meet the others at {host}:{port} "
            f"({str(error).splitlines()[0][:120]}): choose another port, by --master-port of "
            "torchrun or MASTER_PORT"
        ) from error
    # torchrun's store keeps what an earlier attempt wrote, such as addresses of dead processes
    attempt = dist.PrefixStore(f"attempt {launched.restarts}", store)  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        backend, store=attempt, rank=launched.rank, world_size=launched.count, timeout=timeout
    )
    _met = True


def _meeting_point() -> tuple[str, int]:
    env = os.environ
    if "MASTER_ADDR" in env:
        return env["MASTER_ADDR"], int(env.get("MASTER_PORT", PORT))
    # the first of Slurm's machines, as in "node[03-07,12],other"
    first = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_NODELIST") or "localhost"
    name, _, numbers = first.partition("[")
    if "," in name or not numbers:
        host = name.split(",")[0]
    else:
        host = name + numbers.split("]")[0].split(",")[0].split("-")[0]
    return host, int(env.get("MASTER_PORT", PORT + int(env.get("SLURM_JOB_ID", 0)) % 1000))


def _share(sync_group: int) -> Share:
    count = dist.get_world_size()
    everyone: Any = dist.group.WORLD
    if sync_group in (0, count):
        # a group of their own: what the layers exchange never waits behind a gradient
        statistics: Any = dist.new_group()
    elif count % sync_group:
        raise ValueError(
            f"{count} processes cannot be divided into groups of {sync_group}: choose a divisor "
            "of their number, or leave it out"
        )
    else:
        statistics, _ = dist.new_subgroups(sync_group)
    signals: Any = dist.new_group(backend="gloo")
    return Share(dist.get_rank(), count, everyone, statistics, signals)


def _is_of_exchange(error: Exception) -> bool:
    """Whether an error is that of an exchange between processes."""
    text = str(error)
    words = ("imed out", "timeout", "Connection closed", "Connection reset", "Broken pipe")
    if isinstance(error, dist.DistError):
        return True
    gloo = isinstance(error, RuntimeError) and "gloo" in text.lower()
    return gloo and any(word in text for word in words)


def _is_said_by_first(error: Exception) -> bool:
    """Whether the first process fails for the same reason, and this is another one."""
    own, text = dist.get_rank(), str(error) or type(error).__name__
    try:
        store = dist.distributed_c10d._get_default_store()
        store.set(f"error {own}", text)
        until = time.monotonic() + PATIENCE
        while own and time.monotonic() < until:
            if store.check(["error 0"]):
                return bool(store.get("error 0").decode() == text)
            time.sleep(0.1)
    except RuntimeError:  # the store was that of the first process, which has ended
        return True
    return False


def _lost_process(minutes: float) -> Exception:
    """Name the processes that do not say, within a moment, that they have lost one too."""
    own, count = dist.get_rank(), dist.get_world_size()
    silent = list(range(count))
    try:
        store = dist.distributed_c10d._get_default_store()
        store.set(f"waiting {own}", "yes")
        until = time.monotonic() + PATIENCE
        while silent and time.monotonic() < until:
            silent = [each for each in silent if not store.check([f"waiting {each}"])]
            time.sleep(0.1)
    except RuntimeError:  # the store was that of the lost process
        silent = [0]
    if min(set(range(count)) - {*silent}, default=own) != own:
        return Elsewhere("another process reports the loss")
    if not silent:
        text = f"an exchange between the processes failed on process {own}: start them again"
        return LostProcessError(text)
    names = " and ".join(map(str, silent))
    noun = "processes" if len(silent) > 1 else "process"
    return LostProcessError(
        f"{noun} {names} of {count} ended, or did not answer for {minutes:g} minutes: see what "
        "was printed before this; the same command goes on from the last checkpoint"
    )


class Agreement:
    """Whether any process wants to stop, known to all at the same step.

    The answer to a question arrives while the next step runs, so that no step waits for it.
    """

    def __init__(self) -> None:
        share = current()
        self._group = None if share is None else share.signals
        self._asked: Tensor | None = None
        self._work: dist.Work | None = None

    def ask(self, value: int) -> int:
        """Say a number from 0 on, and return the largest that any process said the last time.

        A process by itself gets its own number at once.
        """
        if self._group is None:
            return value
        found = 0
        if self._work is not None and self._asked is not None:
            self._work.wait()
            found = int(self._asked)
        self._asked = torch.tensor(value)
        self._work = dist.all_reduce(
            self._asked, dist.ReduceOp.MAX, group=self._group, async_op=True
        )
        return found
