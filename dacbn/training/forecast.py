"""How long a training will take, said after three steps, and what would make it shorter.

The clock is that of the host, read between steps; a GPU is waited for once.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from dacbn.batch import Batch, TargetBatch
from dacbn.norms import Norm
from dacbn.progress import duration
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.state import TrainingState

LOG = logging.getLogger(__name__)
STEPS = 3
LONG = 60  # seconds from which a forecast names options that make a training shorter
FORWARD = 1 / 3  # of the time of a step; a backward pass takes twice as long
SMALLEST = 64  # pixels per side to advise
WORTH = 0.1  # share of the time from which something is named


class Forecast:
    """Time the second and third step of a training, and log how long the others will take.

    Args:
        state: the state of the training.
        config: the settings.
        images_to_evaluate: images that each evaluation runs.
    """

    def __init__(self, state: TrainingState, config: TrainConfig, images_to_evaluate: int) -> None:
        self._state, self._config, self._evaluated = state, config, images_to_evaluate
        self._end = state.step + STEPS
        # the first steps allocate and compile: layers and kernels, then the network
        self._start = state.step + (2 if config.compile else 1)
        self._is_new = state.step == 0
        self._began = 0.0
        self._norms: _Clock | None = None

    def after_step(self, batch: Batch | TargetBatch) -> None:
        """Call after each step, with its batch."""
        if self._state.step == self._start:
            if not self._config.compile and not batch.target_images.is_cuda:
                self._norms = _Clock(self._state.method.network)
            self._began = time.perf_counter()
        elif self._state.step == self._end:
            if batch.target_images.is_cuda:
                torch.cuda.synchronize(batch.target_images.device)
            seconds = (time.perf_counter() - self._began) / (self._end - self._start)
            self.close()
            if self._end < self._config.steps:
                self._log(seconds, batch)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count what is done in a `with` block as no part of a step."""
        began = time.perf_counter()
        yield
        self._began += time.perf_counter() - began

    def close(self) -> None:
        """Stop measuring."""
        if self._norms is not None:
            self._norms.stop()

    def _log(self, seconds: float, batch: Batch | TargetBatch) -> None:
        config, images = self._config, _count_images(batch)
        left = config.steps - self._end
        training = left * seconds
        evaluations = _evaluations(config, self._end)
        scoring = evaluations * self._evaluated * FORWARD * seconds / images
        where = "GPU" if batch.target_images.is_cuda else "CPU"
        steps = "1 step" if left == 1 else f"{left} steps"
        text = f"about {duration(training + scoring)} left on this {where}: {steps} of "
        text += f"{seconds:.2g} s for {images} images of {_size(batch)}"
        often = scoring > max(WORTH * (training + scoring), 1)
        if often:
            count = "1 evaluation" if evaluations == 1 else f"{evaluations} evaluations"
            text += f", and {count} of {duration(scoring / evaluations)}"
        LOG.info(text)
        if self._is_new and training + scoring >= LONG:
            LOG.info(f"shorter: {'; '.join(self._advice(training, scoring, often, batch))}")

    def _advice(
        self, training: float, scoring: float, often: bool, batch: Batch | TargetBatch
    ) -> Iterable[str]:
        config, size = self._config, batch.target_images.shape[-1]
        # an adaptation keeps its network, and features are computed already
        if isinstance(batch, Batch) and batch.target_images.ndim == 4:
            fixed = hasattr(self._state.method.network.backbone, "patch_embed")
            if size // 2 >= SMALLEST and not fixed:
                yield f"{spell('image_size', size // 2)} ({_about((training + scoring) / 4)})"
        if config.steps > 2 * STEPS:
            yield f"{spell('steps', config.steps // 4)} ({_about(training / 4 + scoring / 4)})"
        sizes = [spell("target_batch_size", config.target_batch_size // 2)]
        if isinstance(batch, Batch):
            sizes.insert(0, spell("source_batch_size", config.source_batch_size // 2))
        if config.target_batch_size > 16:
            yield f"{' '.join(sizes)} ({_about(training / 2 + scoring)})"
        share = 0.0 if self._norms is None else self._norms.share
        if isinstance(batch, Batch) and config.norm_sites == "all" and share > WORTH:
            first = spell("norm_sites", "first")
            yield f"{first} (the normalisers take {share:.0%} of a forward pass)"
        if often and config.eval_every:
            once = training + scoring / _evaluations(config, 0)
            yield f"{spell('eval_every', 0)} ({_about(once)})"


class _Clock:
    """Measure which share of a network's forward passes its normalisers take, on a CPU.

    Its hooks are those of all modules: a method may copy the network meanwhile, hooks included.
    """

    def __init__(self, network: nn.Module) -> None:
        self._names = dict.fromkeys(_outermost(network), "norms") | {network: "network"}
        self._seconds = {"norms": 0.0, "network": 0.0}
        self._handles = (
            register_module_forward_pre_hook(lambda module, _: self._add(module, -1)),
            register_module_forward_hook(lambda module, *_: self._add(module, 1)),
        )

    @property
    def share(self) -> float:
        return self._seconds["norms"] / max(self._seconds["network"], 1e-9)

    def stop(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _add(self, module: nn.Module, sign: int) -> None:
        if module in self._names:
            self._seconds[self._names[module]] += sign * time.perf_counter()


def _outermost(module: nn.Module) -> Iterable[nn.Module]:
    """Yield the normalisers that are no part of another one."""
    for child in module.children():
        if isinstance(child, Norm):
            yield child
        else:
            yield from _outermost(child)


def _count_images(batch: Batch | TargetBatch) -> int:
    source = len(batch.source_images) if isinstance(batch, Batch) else 0
    return source + len(batch.target_images)


def _size(batch: Batch | TargetBatch) -> str:
    *_, size = shape = batch.target_images.shape
    return f"{size} x {size} pixels" if len(shape) == 4 else f"{size} features"


def _evaluations(config: TrainConfig, step: int) -> int:
    """Count the evaluations after a step."""
    if not config.eval_every:
        return 1
    return -(-config.steps // config.eval_every) - step // config.eval_every


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}"
