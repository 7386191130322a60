"""dacbn analyse: analyse a run, or compare several."""

from pathlib import Path

from tyro.conf import Positional

from dacbn.analysis.rare_collection import collected_rarely
from dacbn.commands.by_turns import by_turns
from dacbn.plain_text import say


@collected_rarely()  # also while libraries are imported
@by_turns
def analyse(
    runs: Positional[tuple[Path, ...]],
    images: int = 2000,
    seed: int = 0,
    layers: tuple[str, ...] = (),
    output: Path | None = None,
    data_root: Path | None = None,
    against: Path | None = None,
    device: str = "auto",
) -> None:
    """Analyse a run: figures, the arrays behind them, and a report with a verdict.

    Several runs are compared side by side.

    Args:
        runs: run folders.
        images: maximum number of images of each domain's test split.
        seed: seed for choosing images, and for t-SNE.
        layers: normalisers whose outputs are embedded too, by name or pattern such as
            "backbone.layer1.*"; for a single run.
        output: folder for figures and report.html; by default the run folder, or `comparison`
            in the parent folder of the first of several.
        data_root: folder of the named datasets, if it has moved since the training.
        against: another run on the same domains: images are shown whose answer is not the same.
        device: cpu, cuda, or auto.
    """
    from dacbn.analysis import report

    made = report(
        runs,
        images=images,
        seed=seed,
        layers=layers,
        output=output,
        data_root=data_root,
        against=against,
        device=device,
    )
    say("", *(f"- {sentence}" for sentence in made.verdict))
    say(f"\nfigures: {made.figures}\nreport: {made.path}")
