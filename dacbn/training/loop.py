"""The training loop, the same for all methods."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dacbn.batch import Batch, TargetBatch
from dacbn.methods import Step
from dacbn.models import Network
from dacbn.processes import Agreement, lead
from dacbn.progress import Progress
from dacbn.spelling import spell
from dacbn.training.allocator import keep_freed_memory
from dacbn.training.checkpoint import CHECKPOINT, save_checkpoint, save_network, snapshot_name
from dacbn.training.compiled import compile_forward, use_forward
from dacbn.training.config import TrainConfig
from dacbn.training.forecast import Forecast
from dacbn.training.interrupt import Interrupt, InterruptedTraining
from dacbn.training.metric_window import DivergedError, MetricWindow
from dacbn.training.metrics import DOMAIN_ACCURACY, LEARNING_RATE, SOURCE_ACCURACY
from dacbn.training.records import Records
from dacbn.training.right_answers import drop_right
from dacbn.training.schedules import lr_factor, set_lr, warmup_factor
from dacbn.training.several_processes import average_statistics, in_parallel
from dacbn.training.starting_defaults import starts_pretrained
from dacbn.training.state import TrainingState, lay_out_state

LOG = logging.getLogger(__name__)
SHOWN = (SOURCE_ACCURACY, DOMAIN_ACCURACY)  # in the progress, after the loss


def train(
    state: TrainingState,
    stream: Callable[[int], Iterator[Batch | TargetBatch]],
    config: TrainConfig,
    records: Records,
    folder: Path | None = None,
    evaluate: Callable[[Network], dict[str, float]] | None = None,
    images_to_evaluate: int = 0,
    after_evaluation: Callable[[int, dict[str, float]], bool] | None = None,
) -> None:
    """Train from `state.step` to `config.steps`.

    Losses and metrics stay on the device and are read, checked and recorded together when a log is
    due, to avoid synchronisation in every step.

    Args:
        state: the training state; its method is on the device to train on.
        stream: function: start step -> iterator over the batches from that step on.
        config: the settings.
        records: receives losses, metrics and scores.
        folder: run folder for snapshots, checkpoints and the network for inference; None saves
            nothing.
        evaluate: scores the network. It may use test splits: its scores are recorded and have no
            influence on the training.
        images_to_evaluate: images that `evaluate` runs, for the forecast of the duration.
        after_evaluation: receives step and scores; the training ends where it returns True.

    Raises:
        DivergedError: a loss or weight is infinite or NaN; the last checkpoint is from before.
        InterruptedTraining: on Ctrl-C, SIGTERM or another signal that asks to end, after a
            checkpoint.
        StorageError: a file could not be written; files written before are complete.
    """
    device = next(state.method.parameters()).device
    lowered = trains_in_bfloat16(config, device, state.method.network)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=lowered)
    if device.type == "cpu":
        keep_freed_memory()
    channels_last = device.type == "cuda" or starts_pretrained(config)
    if channels_last:
        state.method.to(memory_format=torch.channels_last)
    lay_out_state(state.optimizer)
    state.method.train()
    forward = compile_forward(state.method.network) if config.compile else None
    parallel, agreement = in_parallel(state.method), Agreement()
    window = MetricWindow()
    progress = Progress(config.steps, "step", "training", done=state.step, stays=True)
    promise = f"the training {'' if folder is None else 'is saved and '}stops after this step"
    timed = closing(Forecast(state, config, images_to_evaluate))
    with progress, timed as forecast, Interrupt(promise) as interrupt, parallel as run:
        for batch in records.watch(stream(state.step), state.network):
            # step 0 is not compiled: layers initialise themselves from its batch
            with autocast, use_forward(state.method.network, forward if state.step else None):
                arranged = _arrange(batch) if channels_last else batch
                result = run(arranged, state.step / config.steps)
            optimise(state, result, config)
            average_statistics(state.method)
            window.add(result)
            forecast.after_step(batch)
            progress.update()
            if folder is not None and _due(state.step, config.snapshot_every):
                save_network(folder, state.network, snapshot_name(state.step))

            last = state.step == config.steps
            # read once: a request while numbers are written takes effect after the next step
            signal_number = agreement.ask(int(interrupt.requested or 0))
            stop = signal_number > 0 and not last
            checkpoint_due = last or stop or _due(state.step, config.checkpoint_every)
            evaluation_due = last or _due(state.step, config.eval_every)
            # a log checks that everything is finite, so it precedes evaluations and checkpoints
            log_due = checkpoint_due or evaluation_due or _due(state.step, config.log_every)
            if log_due:
                _log(window, state, config, records, progress, folder)
            enough = False
            if evaluation_due and evaluate is not None:
                with forecast.paused():
                    records.add(state.step, scores := evaluate(state.network))
                if after_evaluation is not None:
                    enough = lead(partial(after_evaluation, state.step, scores))
                signal_number = agreement.ask(int(interrupt.requested or 0))
                stop = signal_number > 0 and not last  # it may have taken long
            if (checkpoint_due or stop or enough) and folder is not None:
                drop_right(folder)
                save_network(folder, state.network)
                save_checkpoint(folder, state.state_dict())
            if stop:
                reached = f"stopped after step {state.step} of {config.steps}"
                raise InterruptedTraining(reached, signal_number)
            if enough and not last:
                LOG.info("ended after step %d of %d, as asked", state.step, config.steps)
                return
            if log_due:
                window.restart()  # here, so that steps per second excludes all of the above


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def optimise(state: TrainingState, result: Step, config: TrainConfig) -> None:
    """Take one optimiser step on the sum of the losses."""
    progress = state.step / config.steps
    factor = lr_factor(config.schedule, progress) * state.method.lr_factor(progress)
    warming = warmup_factor(config.warmup or 0.0, state.step, config.steps)
    set_lr(state.optimizer, factor * warming)
    state.optimizer.zero_grad(set_to_none=True)
    torch.stack(list(result.losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    if config.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(state.method.parameters(), config.clip_norm)
    state.optimizer.step()
    if state.average is not None and config.ema_decay is not None:
        decay = min(config.ema_decay, (1 + state.step) / (10 + state.step))
        state.follow(decay)
    state.step += 1


def _log(
    window: MetricWindow,
    state: TrainingState,
    config: TrainConfig,
    records: Records,
    progress: Progress,
    folder: Path | None,
) -> None:
    try:
        numbers = window.read(state.step)
        if not state.is_finite():
            raise DivergedError(f"a weight became infinite or NaN by step {state.step}")
    except DivergedError as error:
        raise DivergedError(f"{error}; {_advice(state, config)}.{_last_good(folder)}") from None
    losses = numbers | {LEARNING_RATE: state.optimizer.param_groups[0]["lr"]}
    records.add(state.step, losses)
    shown = [f"loss {sum(numbers[name] for name in window.losses):.3f}"]
    shown += [f"{name.replace('_', ' ')} {numbers[name]:.0%}" for name in SHOWN if name in numbers]
    progress.show(", ".join(shown))


def _advice(state: TrainingState, config: TrainConfig) -> str:
    """Say what to change after a loss or weight became infinite or NaN."""
    factor = 1 - state.optimizer.param_groups[0]["first_lr"] * config.weight_decay
    if factor < 0 and config.weight_decay > TrainConfig.weight_decay:
        return f"lower {spell('weight_decay')}, by which a step multiplies weights by {factor:.3g}"
    return (
        f"lower {spell('lr')}, set {spell('clip_norm', 1)}, or lower the weight in "
        f"{spell('method')}"
    )


def _last_good(folder: Path | None) -> str:
    if folder is None or not (folder / CHECKPOINT).exists():
        return ""
    return f" {folder} keeps its last good checkpoint"


def trains_in_bfloat16(config: TrainConfig, device: torch.device, network: Network) -> bool:
    """Whether a training with these settings runs its network in bfloat16 on this device."""
    if config.precision != "auto":
        return config.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # depthwise convolutions are slower in bfloat16 on CPUs: a step of EfficientNet-Lite 1.6 times
    depthwise = any(getattr(layer, "groups", 1) > 1 for layer in network.backbone.modules())
    return device.type == "cpu" and not depthwise and _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU supports bfloat16 natively; False if this torch cannot report it."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _arrange(batch: Batch | TargetBatch) -> Batch | TargetBatch:
    """Convert images to channels-last, for faster convolutions."""
    arranged: dict[str, Any] = {
        name: images.contiguous(memory_format=torch.channels_last)
        for name, images in batch._asdict().items()
        if isinstance(images, torch.Tensor) and images.ndim == 4
    }
    return batch._replace(**arranged)
