"""The embedded features as a plot that can be touched: each point shows its image."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.predictions.gallery import describe
from dacbn.analysis.presentation.gallery_html import data_address
from dacbn.analysis.presentation.pictures import encode_images
from dacbn.analysis.presentation.plots import colour_key, draw_points
from dacbn.analysis.presentation.style import DOMAIN_COLOURS, class_colours
from dacbn.plain_text import plain

SIDE = 48  # pixels of the pictures: there are two thousand
HINT = (
    "<p class='words'>Point at a dot to see its image. Drag to move; choose a tool above the plot "
    "to zoom; click a domain below it to hide it.</p>"
)


def can_be_touched() -> bool:
    """Whether what such plots need is installed; otherwise the figure has to do."""
    return find_spec("bokeh") is not None


def draw_touchable(
    points: NDArray[np.float64],
    rows: Mapping[str, NDArray[np.int64]],
    subject: Subject,
    outputs: Mapping[str, DomainOutput],
) -> str:
    """Draw embedded images by class and by domain, with the image and answer of each.

    Args:
        points: of the chosen images of all domains, in their order, (N, 2).
        rows: by domain, which images were chosen.
        subject: the network, with the images.
        outputs: of the network for all images, by domain.

    Returns:
        HTML, with a legend of the classes.

    Raises:
        ModuleNotFoundError: Bokeh is not installed.
    """
    palette = class_colours(len(subject.classes))
    columns: dict[str, list[str]] = {"picture": [], "name": [], "said": []}
    colours: dict[str, list[str]] = {"by class": [], "by domain": []}
    groups: dict[str, NDArray[np.int64]] = {}
    start = 0
    for number, (domain, chosen) in enumerate(rows.items()):
        sample, output = subject.samples[domain], outputs[domain]
        labels = output.predictions if output.labels is None else output.labels
        columns["picture"] += map(data_address, encode_images(sample, chosen.tolist(), SIDE))
        columns["name"] += [plain(sample.name(row)) for row in chosen.tolist()]
        columns["said"] += [_say(domain, output, row, subject.classes) for row in chosen.tolist()]
        colours["by class"] += [palette[label] for label in labels[chosen]]
        colours["by domain"] += [DOMAIN_COLOURS[number % len(DOMAIN_COLOURS)]] * len(chosen)
        groups[plain(domain)] = np.arange(start, start + len(chosen))
        start += len(chosen)
    plots = draw_points(points.astype(np.float32), colours, groups, columns)
    domains = {domain: DOMAIN_COLOURS[n % len(DOMAIN_COLOURS)] for n, domain in enumerate(rows)}
    classes = dict(zip(subject.classes, palette, strict=True))
    unlabelled = [plain(domain) for domain in rows if outputs[domain].labels is None]
    note = f" (predicted: {', '.join(unlabelled)})" if unlabelled else ""
    return f"{HINT}{plots}{colour_key(f'class{note}', classes)}{colour_key('domain', domains)}"


def _say(domain: str, output: DomainOutput, row: int, classes: Sequence[str]) -> str:
    return f"{domain}: {plain(', '.join(describe(output, row, classes)))}"
