"""dacbn adapt: adapt a trained run to a target without its source."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from dacbn.commands.new_folder import new_folder
from dacbn.commands.scores import print_against, print_scores
from dacbn.commands.stopping import end_stopped
from dacbn.plain_text import say
from dacbn.spec import Spec
from dacbn.training import InterruptedTraining

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter


def adapt(
    run: Positional[Path],
    target: str | None = None,
    method: Spec = Spec("shot"),  # noqa: B008  # immutable
    output: Path | None = None,
    steps: int | None = None,
    lr: float | None = None,
    train: Literal["all", "norms", "head"] | None = None,
    target_batch_size: int | None = None,
    seed: int | None = None,
    data_root: Path | None = None,
    device: str | None = None,
) -> None:
    """Adapt a trained run to a target without its source; the run is not changed.

    Options not given are taken from the run. Resume an interrupted adaptation with dacbn train
    --resume.

    Args:
        run: a run folder.
        target: a dataset's name, or a folder; by default the run's target, if it has one.
        method: source-free adaptation method, e.g. "shot(weight=0.1)"; see dacbn list.
        output: folder to write; by default a new one under runs/, named after the run.
        steps: optimiser steps.
        lr: learning rate at the start.
        train: what of the backbone is trained; shot, which keeps the classifier, needs more than
            the head of a run without bottleneck.
        target_batch_size: target images per step.
        seed: seed of the order of the images and their views.
        data_root: folder of the named datasets, if it has moved.
        device: cpu, cuda, or auto.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.training import CONFIG

    adapter = DomainAdapter.from_pretrained(run, device or "auto")
    target = target or _target_of(adapter, run)
    given = {
        "steps": steps,
        "lr": lr,
        "train": train,
        "target_batch_size": target_batch_size,
        "seed": seed,
        "data_root": data_root,
        "device": device,
    }
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    begun = output is not None and _has_only_begun(output)
    if output is not None and (output / CONFIG).exists() and not begun:
        raise ValueError(
            f"{output} holds a run: continue it with dacbn train --resume {output}, or choose "
            "another --output"
        )
    name = f"{run.resolve().name}-{'+'.join(method.names)}"
    with new_folder(name) if output is None else nullcontext(output) as folder:
        run_adaptation(adapter, target, method, folder, resume=begun, **options)


def _target_of(adapter: "DomainAdapter", run: Path) -> str:
    from dacbn.training import IN_MEMORY

    targets = adapter.config.target
    if IN_MEMORY in targets:
        raise ValueError(f"{run} was trained from arrays: pass --target")
    if not targets:
        raise ValueError(f"{run} was trained without a target: pass --target")
    if len(targets) > 1:
        raise ValueError(f"{run} has several targets: pass --target {' or '.join(targets)}")
    return targets[0]


def _has_only_begun(folder: Path) -> bool:
    """Whether an adaptation in a folder was killed before it saved anything worth keeping."""
    from dacbn.training import CONFIG, is_source_free, read_run_info
    from dacbn.training.checkpoint import CHECKPOINT, MODEL

    if not (folder / CONFIG).exists() or any((folder / n).exists() for n in (CHECKPOINT, MODEL)):
        return False
    return is_source_free(read_run_info(folder).config)


def run_adaptation(
    adapter: "DomainAdapter",
    target: str,
    method: str,
    folder: Path,
    resume: bool = False,
    **options: Any,
) -> None:
    """Adapt, and print the folder and the scores; the target's test split needs labels for that."""
    from dacbn.datasets import is_flat_folder

    say(f"{target}: {method}, without the source")
    columns = options.get("columns", adapter.config.columns)
    test = None if is_flat_folder(target, columns) else target
    try:
        adapter.adapt(target, method, target_test=test, run=folder, resume=resume, **options)
    except InterruptedTraining as stop:
        cure = f"Continue with: dacbn train --resume {folder}"
        end_stopped(stop, f"{stop}; everything is saved. {cure}")
    print_scores(adapter.records[-1] if adapter.records else {}, num_classes=len(adapter.classes))
    print_against(folder)
    say(f"next: dacbn evaluate {folder}, dacbn predict {folder} IMAGES")
