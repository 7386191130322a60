"""What training looks at: images of each domain, as they are and as augmented."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dacbn.analysis.report.section import Section
from dacbn.analysis.report.style import PAGE_WIDTH, save_figure
from dacbn.datasets import Family, Images, to_float, weak_view


def compute_views(images: Images, family: Family, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Choose images at random and augment them.

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
    """Draw a sheet: a row of images above a row of their views."""
    axes.imshow(np.vstack([np.hstack(list(row)) for row in views]), interpolation="nearest")
    side = views.shape[2]
    axes.set_yticks([side / 2, 3 * side / 2], ["as it is", "augmented"])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize="medium")


def draw_views(domains: dict[str, Images], family: Family, folder: Path) -> Section:
    """Draw a sheet of every domain into a folder."""
    figure = Figure(figsize=(PAGE_WIDTH, 1.4 * len(domains)), layout="constrained")
    sheets = {name: compute_views(images, family, 12) for name, images in domains.items()}
    axes = figure.subplots(len(sheets), 1, squeeze=False)[:, 0]
    for place, (title, views) in zip(axes, sheets.items(), strict=True):
        plot_views(views, title, place)
    caption = "Random images of each domain, as they are and as training sees them, augmented."
    files = save_figure(figure, folder / "domains", sheets, caption)
    return Section("What training sees", figures=(files[0],))
