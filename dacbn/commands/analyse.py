"""dacbn analyse: look inside a run, or compare several."""

import shlex
from pathlib import Path

from tyro.conf import Positional

from dacbn.analysis.report.html import write_report
from dacbn.analysis.report.settings import current_versions, describe_config
from dacbn.commands.look_inside import look_inside
from dacbn.commands.side_by_side import put_side_by_side
from dacbn.commands.subjects import open_run
from dacbn.training import TrainConfig, train_command


def analyse(
    runs: Positional[tuple[Path, ...]],
    images: int = 2000,
    seed: int = 0,
    layers: tuple[str, ...] = (),
    output: Path | None = None,
    data_root: Path | None = None,
    device: str = "auto",
) -> None:
    """Look inside a run: figures, the arrays behind them, and a report with a verdict.

    Several runs are put side by side.

    Args:
        runs: run folders.
        images: of each domain's test split, at most.
        seed: of the choice of images, and of t-SNE.
        layers: normalisers of one run whose outputs to embed beside the features, by name or
            pattern such as "backbone.layer1.*".
        output: folder for figures and report.html; by default the run's own, or `comparison`
            beside the first of several.
        data_root: folder of the named datasets, if it has moved.
        device: cpu, cuda, or auto.
    """
    if not runs:
        raise ValueError("name a run folder to look inside, or several to compare")
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    configs = {str(run): open_run(run, None).config for run in runs}
    if len(configs) < len(runs):
        raise ValueError("a run is named twice: name each once")
    alone = len(runs) == 1
    folder = output or (runs[0] if alone else runs[0].parent / "comparison")
    options = (folder / "figures", images, seed, data_root, device)
    if layers and not alone:
        raise ValueError("--layers is for one run: runs are put side by side by their features")
    sections = look_inside(runs[0], *options, layers) if alone else put_side_by_side(runs, *options)
    settings = {f"Settings of {run}": describe_config(each) for run, each in configs.items()}
    settings["Versions"] = current_versions()
    commands = [train_command(config) for config in configs.values()]
    commands.append(_typed(runs, images, seed, layers, output, data_root))
    report = folder / "report.html"
    write_report(report, _title(configs), sections, settings, commands)
    print("", *(f"- {sentence}" for sentence in sections[0].findings), sep="\n")
    print(f"\nfigures: {folder / 'figures'}\nreport: {report}")


def _title(configs: dict[str, TrainConfig]) -> str:
    first = next(iter(configs.values()))
    domains = f"{Path(first.source).name} → {Path(first.target).name}"
    if len(configs) > 1:
        return f"{domains}: {len(configs)} runs compared"
    return f"{domains}: {first.method}, {first.backbone}, {first.norm or 'own norms'}"


def _typed(
    runs: tuple[Path, ...],
    images: int,
    seed: int,
    layers: tuple[str, ...],
    output: Path | None,
    data_root: Path | None,
) -> str:
    words = ["dacbn", "analyse", *map(str, runs), "--images", str(images), "--seed", str(seed)]
    words += ["--layers", *layers] if layers else []
    for option, value in {"--output": output, "--data-root": data_root}.items():
        words += [option, str(value)] if value is not None else []
    return shlex.join(words)
