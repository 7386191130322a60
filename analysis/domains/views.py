"""Training images of each domain, plain and augmented."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dacbn.analysis.analyses import analyses
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.style import PAGE_WIDTH, save_figure
from dacbn.datasets import Family, Images, to_float, weak_view

COLUMNS = 12  # images of each domain


def compute_views(images: Images, family: Family, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Choose images at random and augment them.

    Args:
        images: of one domain.
        family: the kind of images, which decides how they are augmented.
        count: images, at most.
        seed: for choosing and augmenting images.

    Returns:
        (2, count, S, S, 3) in [0, 1]: the images, and a weak view of each.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(images), generator=generator)[:count]
    plain = to_float(images.gather(rows).cpu())
    views = torch.stack([plain, weak_view(plain, family, generator)])
    shown: NDArray[np.float32] = views.permute(0, 1, 3, 4, 2).numpy()
    return shown


def plot_views(views: NDArray[np.float32], title: str, axes: Axes) -> None:
    """Draw a row of images above a row of their augmented views.

    Args:
        views: plain and augmented images, (2, N, S, S, 3) in [0, 1].
        title: of the axes.
        axes: to draw on.
    """
    axes.imshow(np.vstack([np.hstack(list(row)) for row in views]), interpolation="nearest")
    side = views.shape[2]
    axes.set_yticks([side / 2, 3 * side / 2], ["plain", "augmented"])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize="medium")


@analyses.add("training images", order=45, needs=("training_images", "family", "folder"))
def draw_views(training_images: Mapping[str, Images], family: Family, folder: Path) -> Section:
    """Draw some training images of each domain, plain and augmented, into a folder.

    Args:
        training_images: by a title for each domain.
        family: the kind of images, which decides how they are augmented.
        folder: for the figure.
    """
    figure = Figure(figsize=(PAGE_WIDTH, 1.4 * len(training_images)), layout="constrained")
    sheets = {name: compute_views(each, family, COLUMNS) for name, each in training_images.items()}
    axes = figure.subplots(len(sheets), 1, squeeze=False)[:, 0]
    for panel, (title, views) in zip(axes, sheets.items(), strict=True):
        plot_views(views, title, panel)
    caption = "Random training images of each domain, plain and augmented as in training."
    files = save_figure(figure, folder / "domains", sheets, caption)
    return Section("Training images", figures=(files[0],))
