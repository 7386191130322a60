"""dacbn analyse: draw what a run did."""

import warnings
from pathlib import Path

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.analysis import draw_curves, draw_views
from dacbn.datasets import choose_family


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
