"""How closely the statistics of a network followed the parts of a stream, in numbers and words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dacbn.analysis.presentation.section import Row
from dacbn.analysis.streams.part_names import part_name
from dacbn.streams import StreamPath

PARTS = "parts to source"
SOURCE = "statistics to source"
EACH = "to each part"
USED = "components"
MEANING = (
    "Distances are in standard deviations of the source, means over layers: of the activations in "
    "the parts to the source; of the statistics at the end of the stream to the source; and of the "
    "statistics at the end of each part to this part (none where all parts come at once). "
    "Statistics that follow a stream come near to each part. Components are those used, with more "
    "than an even share of a part."
)


def followed(path: StreamPath) -> Row:
    """Summarise a path: means over its layers (and parts), distances in SD of the source."""
    layers = path.layers.values()
    row: Row = {
        PARTS: _mean([layer.between for layer in layers]),
        SOURCE: _mean([layer.to_source[-1] for layer in layers]),
        EACH: "",
        USED: "",
    }
    ends = {part: int(np.flatnonzero(path.part == part)[-1]) for part in {*path.part.tolist()}}
    if -1 not in ends:  # of images of several parts at once
        row[EACH] = _mean(
            [layer.to_parts[end, part] for layer in layers for part, end in ends.items()]
        )
    if mixtures := [layer.shares for layer in layers if layer.shares is not None]:
        used = np.mean([(shares.max(0) > 1 / shares.shape[1]).sum() for shares in mixtures])
        row[USED] = f"{used:.1f} of {mixtures[0].shape[1]}"
    return row


def takers(path: StreamPath, layers: Sequence[str]) -> tuple[str, ...]:
    """Say for layers with a mixture which component took most of which part."""
    sentences = []
    for name in layers:
        shares = path.layers[name].shares
        if shares is None:
            continue
        taken: dict[int, list[str]] = {}
        for part, of_part in zip(path.parts, shares, strict=True):
            most = int(of_part.argmax())
            taken.setdefault(most, []).append(f"{part_name(part)} ({100 * of_part[most]:.0f} %)")
        said = [f"component {most} of {' and '.join(of)}" for most, of in sorted(taken.items())]
        sentences.append(f"{name}: the largest shares: {', '.join(said)}.")
    return tuple(sentences)


def _mean(values: Sequence[NDArray[np.float64]]) -> float:
    return round(float(np.mean(values)), 3)
