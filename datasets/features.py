"""Features of images and of random views of them, computed once, in place of the images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dacbn.datasets.transforms import Place


@dataclass(frozen=True, eq=False)
class FeatureViews:
    """Features that stand for images wherever `Images` are expected.

    `iterate` yields those of the images themselves, and the streams of training one view at random.

    Args:
        values: float (N, V, D), of N images, each with V views; the first is the image itself.
        size: pixels per side of the images.
    """

    values: Tensor
    size: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.values)

    def gather(self, indices: Tensor) -> Tensor:
        """Return features (B, V, D) for int64 indices (B,), on their device."""
        return self.values[indices.to(self.values.device, non_blocking=True)]


def draw_view(views: Tensor, generator: torch.Generator, place: Place | None = None) -> Tensor:
    """Draw one of V views (B, V, ...) of each image: (B, ...); `place` is as in `weak_view`."""
    first, rows = place or (0, len(views))
    drawn = torch.randint(views.shape[1], (rows,), generator=generator, device=views.device)
    own = drawn[first : first + len(views)]
    return views[torch.arange(len(views), device=views.device), own]
