"""dacbn adapt: adapt a trained run to a target without its source."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.commands.folders import new_folder
from dacbn.commands.scores import print_scores
from dacbn.datasets import is_flat_folder
from dacbn.registry import parse_spec
from dacbn.training import CONFIG, InterruptedTraining


def adapt(
    run: Positional[Path],
    target: str | None = None,
    method: str = "shot",
    output: Path | None = None,
    steps: int | None = None,
    lr: float | None = None,
    target_batch_size: int | None = None,
    seed: int | None = None,
    data_root: Path | None = None,
    device: str | None = None,
) -> None:
    """Adapt a trained run to a target without its source; the run stays as it is.

    What is not given is as in the run. Go on with a stopped adaptation by dacbn train --resume.

    Args:
        run: a run folder.
        target: a dataset's name, or a folder; by default the run's target.
        method: how to adapt, as in "shot(weight=0.1)"; see dacbn list.
        output: folder to write; by default a new one under runs/, named after the run.
        steps: optimiser steps.
        lr: learning rate at the start.
        target_batch_size: target images per step.
        seed: of the order of the images and their views.
        data_root: folder of the named datasets, if it has moved.
        device: cpu, cuda, or auto.
    """
    adapter = DomainAdapter.from_pretrained(run, device or "auto")
    target = target or adapter.config.target
    folder = output or new_folder(f"{run.resolve().name}-{parse_spec(method)[0]}")
    given = {
        "steps": steps,
        "lr": lr,
        "target_batch_size": target_batch_size,
        "seed": seed,
        "data_root": data_root,
        "device": device,
    }
    if (folder / CONFIG).exists():
        raise ValueError(
            f"{folder} holds a run: go on with dacbn train --resume {folder}, or name another "
            "--output"
        )
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    run_adaptation(adapter, target, method, folder, **options)


def run_adaptation(
    adapter: DomainAdapter,
    target: str,
    method: str,
    folder: Path,
    resume: bool = False,
    **options: Any,
) -> None:
    """Adapt, telling where to and how well; the target's test split is scored if it has labels."""
    print(f"{target}: {method}, without the source\nwriting {folder}")
    test = None if is_flat_folder(target) else target
    try:
        adapter.adapt(target, method, target_test=test, run=folder, resume=resume, **options)
    except InterruptedTraining as stop:
        print(f"{stop}; everything is saved. Go on with: dacbn train --resume {folder}")
        raise SystemExit(130) from None
    print_scores(adapter.records[-1] if adapter.records else {})
    print(f"next: dacbn evaluate {folder}, dacbn predict {folder} IMAGES")
