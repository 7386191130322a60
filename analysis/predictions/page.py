"""A page with the gallery of new images alone, for `dacbn predict`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.subject import Sample
from dacbn.analysis.predictions.gallery import make_gallery
from dacbn.analysis.presentation.html import write_report
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.settings import current_versions
from dacbn.batch import Output
from dacbn.datasets import Images
from dacbn.plain_text import plain

MAX_ROWS = 200  # of the table of files that cannot be read


def write_gallery(
    path: Path,
    title: str,
    images: Images,
    names: Sequence[str],
    output: Output,
    classes: Sequence[str],
    unreadable: Sequence[tuple[str, str]] = (),
    commands: Sequence[str] = (),
) -> None:
    """Write a page with images by predicted class, the surest and the least sure.

    Args:
        path: the file.
        title: of the page.
        images: N images.
        names: of the images (N).
        output: of a network for them.
        classes: class names.
        unreadable: files that cannot be read, and why.
        commands: the commands that make the page again.

    Raises:
        StorageError: the file cannot be written.
    """
    sections: list[Section] = []
    opening: list[str] = []
    if len(images):
        features, probabilities = (
            each.double().numpy() for each in (output.features, output.logits.softmax(1))
        )
        answered = DomainOutput(features, probabilities, None)
        sample = Sample(images, 0, None, tuple(names))
        sections.append(make_gallery("Images by predicted class", sample, answered, classes))
        opening.append(
            f"{len(images):,} image{'s' * (len(images) != 1)} in "
            f"{len(np.unique(answered.predictions))} of {len(classes)} classes. Their "
            "probabilities are no accuracy: dacbn predict --summary estimates it."
        )
    if unreadable:
        files = f"{len(unreadable):,} file{'s' * (len(unreadable) != 1)}"
        opening.append(f"{files} cannot be read: see the list below.")
        rows: list[Row] = [
            {"file": plain(name), "reason": plain(reason)} for name, reason in unreadable[:MAX_ROWS]
        ]
        sections.append(Section("Files that cannot be read", tables={"": rows}))
    write_report(path, title, sections, {"Versions": current_versions()}, commands, opening)
