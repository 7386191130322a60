"""The command line: dacbn train | evaluate | predict | analyse | benchmark | list."""

import csv
import io
import itertools
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from tyro.conf import OmitArgPrefixes, Positional

from dacbn import benchmarks
from dacbn.adapter import DomainAdapter
from dacbn.analysis import draw_curves, draw_views
from dacbn.datasets import choose_family, datasets, is_flat_folder, read_files
from dacbn.methods import methods
from dacbn.methods.method import SOURCE, TARGET
from dacbn.norms import norms, weights
from dacbn.norms.fused_mixture import kernel_status
from dacbn.registry import Registry, parse_spec, split_sum
from dacbn.training import (
    InterruptedTraining,
    TrainConfig,
    choose_device,
    write_atomically,
    write_json,
)

DESCRIPTION = "Train a classifier for images of a domain that has no labels."


def train(
    config: OmitArgPrefixes[TrainConfig] = TrainConfig(),  # noqa: B008  # frozen
    run: Path | None = None,
    resume: Path | None = None,
) -> None:
    """Train a classifier for a target domain, and score it on the test splits.

    Args:
        config: the settings.
        run: folder to write; by default a new one under runs/, named after the settings.
        resume: go on with the training in this run folder, under its own settings.
    """
    if resume is not None:
        _refuse_settings(config, run)
    folder = resume or run or _new_folder(config)
    if resume is None and (folder / "config.json").exists():
        raise ValueError(
            f"{folder} holds a run: go on with --resume {folder}, or name another --run"
        )
    adapter = DomainAdapter.from_run(folder) if resume else DomainAdapter(**vars(config))
    config = adapter.config
    print(f"{config.source} → {config.target}: {config.method}, {config.backbone}, {config.norm}")
    print(f"writing {folder}")
    target_test = None if is_flat_folder(config.target) else config.target
    try:
        adapter.fit(
            config.source,
            config.target,
            source_test=config.source,
            target_test=target_test,
            run=folder,
            resume=resume is not None,
        )
    except InterruptedTraining as stop:
        print(f"{stop}; everything is saved. Go on with: dacbn train --resume {folder}")
        raise SystemExit(130) from None
    _print_scores(adapter.records[-1] if adapter.records else {})
    print(f"next: dacbn evaluate {folder}, dacbn predict {folder} IMAGES, dacbn analyse {folder}")


def evaluate(
    run: Positional[Path],
    target: str | None = None,
    data_root: Path | None = None,
    recalibrate: bool = False,
    device: str = "auto",
) -> None:
    """Score a trained run on the test splits of its domains; writes evaluation.json into it.

    Args:
        run: a run folder.
        target: score on this dataset or folder instead of the run's target.
        data_root: folder of the named datasets, if it has moved.
        recalibrate: estimate the normalisers' statistics anew on the target's training images
            before it is scored (AdaBN); the run's weights file stays as it is.
        device: cpu, cuda, or auto.
    """
    adapter = DomainAdapter.from_pretrained(run, device, data_root)
    config = adapter.config
    target = target or config.target
    scores = {"source_test": adapter.evaluate(config.source, SOURCE)}
    if recalibrate:
        adapter.recalibrate(target)
    if is_flat_folder(target):
        print(f"{target} is a flat folder without labels: use dacbn predict {run} {target}")
    else:
        scores["target_test"] = adapter.evaluate(target, TARGET)
    flat = {f"{name}_{key}": value for name, row in scores.items() for key, value in row.items()}
    _print_scores(flat)
    about = {"source": config.source, "target": target, "recalibrated": recalibrate}
    write_json(run / "evaluation.json", {**about, **flat})


def predict(
    run: Positional[Path],
    images: Positional[tuple[Path, ...]],
    output: Path | None = None,
    on_unreadable: Literal["skip", "raise"] = "skip",
    device: str = "auto",
) -> None:
    """Label images; prints a CSV table of path, label and confidence.

    Args:
        run: a run folder.
        images: image files, or folders of them.
        output: write the table here instead.
        on_unreadable: what to do with images that cannot be decoded.
        device: cpu, cuda, or auto.
    """
    if not images:
        raise ValueError("name image files, or folders of them, to predict")
    adapter = DomainAdapter.from_pretrained(run, device)
    readable, paths = read_files(images, adapter.image_size, on_unreadable)
    probabilities = adapter.predict_proba(readable)
    rows = [
        (str(path), adapter.classes[row.argmax()], f"{row.max():.4f}")
        for path, row in zip(paths, probabilities, strict=True)
    ]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("path", "label", "confidence"), *rows])
    if output is None:
        print(table.getvalue(), end="")
    else:
        write_atomically(output, lambda draft: draft.write_text(table.getvalue(), encoding="utf-8"))
        print(f"wrote {output}")


def analyse(run: Positional[Path]) -> None:
    """Draw what a run did: figures and the arrays behind them, in RUN/figures.

    Args:
        run: a run folder.
    """
    files = draw_curves(run, run / "figures")
    try:
        files += _draw_domains(run)
    except (ValueError, OSError) as error:  # the images may have moved since
        warnings.warn(f"cannot show the images: {error}", stacklevel=2)
    for file in files:
        print(f"wrote {file}")


def benchmark(
    what: Positional[tuple[benchmarks.Part, ...]] = benchmarks.PARTS,
    norms: tuple[str, ...] = (),
    rounds: int = 9,
    threads: int = 1,
    device: str = "auto",
    bfloat16: bool = False,
    channels_last: bool = False,
    output: Path = Path("benchmark.json"),
) -> None:
    """Time normalisers, training steps and the training loop, beside what one would else take.

    Args:
        what: layers (each normaliser by itself), steps (whole networks), loops (images a second).
        norms: specifications to compare; by default the plain ones and ucb_norm of several sizes.
        rounds: how often each is timed, in turn with the others.
        threads: of the CPU; 0 takes all cores.
        device: cpu, cuda, or auto.
        bfloat16: activations in bfloat16.
        channels_last: lay activations of the layers out so.
        output: where the rows go as JSON.
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)
    place = str(choose_device(device))
    results: dict[str, object] = {"machine": benchmarks.machine(place)}
    print(results["machine"])
    for part in what:
        rows = benchmarks.measure(part, norms, rounds, place, bfloat16, channels_last)
        print(f"\n{part}\n\n{benchmarks.table(rows)}")
        results[part] = rows
        write_json(output, results)
    print(f"\nwrote {output}")


def list_names(
    kind: Positional[Literal["all", "norms", "weights", "methods", "datasets"]] = "all",
) -> None:
    """List what can be named on the command line; of one kind, with options and papers.

    Args:
        kind: norms, weights (maps of the weights before a norm), methods, datasets, or all.
    """
    kinds: dict[str, Registry[Any]] = {
        "norms": norms,
        "weights": weights,
        "methods": methods,
        "datasets": datasets,
    }
    for title, registry in kinds.items():
        if kind not in ("all", title):
            continue
        print(f"{title}:")
        for name in registry:
            about = registry.describe(name)
            print(f"  {name:{max(map(len, registry)) + 2}}{about.pop('does')}")
            for heading, text in about.items() if kind == title and title != "datasets" else ():
                print(textwrap.indent(textwrap.fill(f"{heading}: {text}", 92), "      "))
    if kind == "all":
        print("backbones:\n  digits_cnn, and the models of timm.list_models()")
        print(f"mixtures on a CPU:\n  {', '.join(kernel_status())}")


def _draw_domains(run: Path) -> list[Path]:
    adapter = DomainAdapter.from_run(run)
    config = adapter.config
    family = config.augment
    if family == "auto":
        family = choose_family(config.source, config.target)
    domains = {
        f"source: {config.source}": adapter.images_of(config.source, train=True),
        f"target: {config.target}": adapter.images_of(config.target, train=True),
    }
    return draw_views(domains, family, run / "figures")


def _refuse_settings(config: TrainConfig, run: Path | None) -> None:
    """Say that settings beside --resume would be lost, rather than lose them."""
    given = ["run"] if run is not None else []
    default = vars(TrainConfig())
    given += [name for name, value in vars(config).items() if value != default[name]]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ValueError(f"--resume goes on under the run's own settings: leave out {options}")


def _new_folder(config: TrainConfig) -> Path:
    """Name a folder after the settings; a number tells it from earlier ones."""
    domains = f"{Path(config.source).resolve().name}-{Path(config.target).resolve().name}"
    method, norm = _names_in(config.method), _names_in(config.norm or "own_norms")
    name = f"{domains}-{method}-{norm}-seed{config.seed}"
    suffixes = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    folders = (Path("runs", name + suffix) for suffix in suffixes)
    return next(folder for folder in folders if not folder.exists())


def _names_in(spec: str) -> str:
    return "+".join(parse_spec(term)[0] for term in split_sum(spec))


def _print_scores(numbers: Mapping[str, float]) -> None:
    for name in ("source_test", "target_test"):
        if f"{name}_accuracy" in numbers:
            accuracy, by_class = numbers[f"{name}_accuracy"], numbers[f"{name}_class_accuracy"]
            print(
                f"{name.replace('_', ' ')}: accuracy {accuracy:.1%}, mean of classes {by_class:.1%}"
            )


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"dacbn: warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command line; a mistake is one line on stderr and exit status 1."""
    warnings.showwarning = _show_warning
    commands: dict[str, Callable[..., None]] = {
        "train": train,
        "evaluate": evaluate,
        "predict": predict,
        "analyse": analyse,
        "benchmark": benchmark,
        "list": list_names,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="dacbn", description=DESCRIPTION)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on; nothing to say
        raise SystemExit(0) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("DACBN_TRACEBACK"):
            raise
        print(f"dacbn: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None
