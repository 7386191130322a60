"""dacbn analyse: draw what a run did."""

import warnings
from pathlib import Path

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.analysis import draw_curves, draw_views
from dacbn.analysis.section import Section
from dacbn.datasets import choose_family


def analyse(run: Positional[Path]) -> None:
    """Draw what a run did: figures and the arrays behind them, in RUN/figures.

    Args:
        run: a run folder.
    """
    sections = [draw_curves(run, run / "figures")]
    try:
        sections.append(_draw_domains(run))
    except (ValueError, OSError) as error:  # the images may have moved since
        warnings.warn(f"cannot show the images: {error}", stacklevel=2)
    for section in sections:
        for figure in section.figures:
            for suffix in (".png", ".svg", ".npz"):
                print(f"wrote {figure.with_suffix(suffix)}")


def _draw_domains(run: Path) -> Section:
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
