"""Record where the statistics of a network go while it follows a stream, in bounded memory.

Hooks note the moments of what each normaliser receives, part by part, and which components of its
mixture take it. Only the first pass of a batch counts. The network's answers do not change.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dacbn.norms import Norm
from dacbn.norms.batch_moments import batch_moments
from dacbn.norms.contract import trained_statistics
from dacbn.norms.moving_statistics import whole_normalisers

SEVERAL = -1  # the part of a batch that has images of more than one
MOST = 200  # snapshots; of more, every second is dropped

Floats = NDArray[np.float64]


class LayerPath(NamedTuple):
    """Where the statistics of a layer were at T times, among P parts of the stream.

    A distance is the root mean square over channels of the 2-Wasserstein distance of normal
    distributions, in standard deviations of the source.

    Attributes:
        to_source: distance of the layer's statistics to those of the source (T,).
        to_parts: to those of the activations in each part (T, P).
        between: of the activations in each part to the statistics of the source (P,).
        shares: of the activations in each part that each component took (P, K); None without a
            mixture.
    """

    to_source: Floats
    to_parts: Floats
    between: Floats
    shares: Floats | None


class StreamPath(NamedTuple):
    """Where the statistics of a network went.

    Attributes:
        images: images of the stream at each time (T,).
        part: index of the part that each time belongs to (T,); -1 where a batch had several.
        parts: names of the parts (P,), as they began.
        layers: the path of each normaliser that keeps statistics.
    """

    images: NDArray[np.int64]
    part: NDArray[np.int64]
    parts: tuple[str, ...]
    layers: dict[str, LayerPath]


class StreamRecorder:
    """Records a network from now until `finish`; call `begin` before each batch.

    Args:
        network: the network that answers, `stream.method.network`.

    Example:
        >>> from dacbn.models import create_network, with_norm
        >>> network = with_norm(create_network("digits_cnn", None, 10), "robust_batch_norm")
        >>> recorder = StreamRecorder(network)
        >>> for part in ("day", "night"):
        ...     _ = recorder.begin(part, 8)
        ...     _ = network(torch.rand(8, 3, 32, 32))
        >>> path = recorder.finish()
        >>> path.parts, path.images.tolist(), len(path.layers)
        (('day', 'night'), [8, 16], 2)
    """

    def __init__(self, network: nn.Module) -> None:
        found = whole_normalisers(network)
        self._layers = {
            name: layer for name, layer in found.items() if statistics_of(layer) is not None
        }
        self._source = self._now()
        self._parts: dict[str, int] = {}
        self._moments: dict[str, dict[int, Tensor]] = {name: {} for name in self._layers}
        self._shares: dict[str, dict[int, Tensor]] = {name: {} for name in self._layers}
        self._snapshots: list[tuple[int, int, dict[str, Tensor]]] = []
        self._waiting: set[str] = set()
        self._images, self._batches, self._every = 0, 0, 1
        self._part: int | None = None
        self._rows: dict[int, Tensor] = {}  # of the batch that are of each part
        self._hooks = [
            layer.register_forward_pre_hook(self._hook(name))
            for name, layer in self._layers.items()
        ]

    def begin(self, part: str | Sequence[str], count: int) -> Self:
        """Say which part the next batch, of `count` images, belongs to, or each of its images."""
        self._take()
        names = [part] * count if isinstance(part, str) else part
        parts = [self._parts.setdefault(each, len(self._parts)) for each in names]
        self._rows = {
            each: torch.tensor([p == each for p in parts]) for each in dict.fromkeys(parts)
        }
        self._part = parts[0] if len(self._rows) == 1 else SEVERAL
        self._images += count
        self._waiting = {*self._layers}
        return self

    def finish(self) -> StreamPath:
        """Remove the hooks, and return what was recorded."""
        self._take()
        self._part = None
        for hook in self._hooks:
            hook.remove()
        return StreamPath(
            np.array([images for images, _, _ in self._snapshots], dtype=np.int64),
            np.array([part for _, part, _ in self._snapshots], dtype=np.int64),
            tuple(self._parts),
            {name: self._path(name) for name in self._layers},
        )

    def _path(self, name: str) -> LayerPath:
        source = self._source[name]
        rows = [(found[name], source) for _, _, found in self._snapshots]
        moments = [_moments(total) for _, total in sorted(self._moments[name].items())]
        shares = [total / total.sum() for _, total in sorted(self._shares[name].items())]
        return LayerPath(
            np.array([_distance(now, source, source) for now, _ in rows]),
            np.array([[_distance(now, each, source) for each in moments] for now, _ in rows]),
            np.array([_distance(each, source, source) for each in moments]),
            torch.stack(shares).cpu().double().numpy() if shares else None,
        )

    def _now(self) -> dict[str, Tensor]:
        found = {name: statistics_of(layer) for name, layer in self._layers.items()}
        return {name: value.clone() for name, value in found.items() if value is not None}

    def _take(self) -> None:
        """Take a snapshot after a batch, if one is due."""
        if self._part is None:
            return
        self._batches += 1
        if self._batches % self._every == 0:
            self._snapshots.append((self._images, self._part, self._now()))
        if len(self._snapshots) > MOST:
            self._snapshots = self._snapshots[1::2]
            self._every *= 2

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        @torch.no_grad()
        def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if name not in self._waiting or self._part is None:
                return
            self._waiting.remove(name)
            given = inputs[0].detach().float()
            x = given.flatten(2) if given.ndim > 2 else given.unsqueeze(-1)
            taken = None
            if isinstance(layer, Norm) and layer.mixture() is not None:
                taken = layer.assignments(x).double()
            for part, rows in self._rows.items():
                rows = rows.to(x.device)
                _add(self._moments[name], part, _sums(x[rows]))
                if taken is not None:
                    mine = taken[:, rows].flatten(1)
                    _add(self._shares[name], part, int(rows.sum()) * mine.mean(1))

        return note


def statistics_of(layer: nn.Module) -> Tensor | None:
    """Return the mean and variance (2, C) that a layer keeps; None if it keeps none.

    Those of a mixture are the moments of the whole.
    """
    if isinstance(layer, Norm) and (found := layer.mixture()) is not None:
        mean = (found.prior * found.mean).sum(0)
        square = (found.prior * (found.var + found.mean.square())).sum(0)
        return torch.stack([mean, square - mean.square()]).double()
    moments = getattr(layer, "running_moments", None)
    if moments is not None:
        return torch.stack([each.detach() for each in moments()]).double()
    if isinstance(layer, nn.modules.batchnorm._BatchNorm) and not isinstance(layer, Norm):
        known = trained_statistics(layer)
        return None if known is None else torch.stack(known).double()
    return None


def _sums(x: Tensor) -> Tensor:
    """Return the sums (3, C) of ones, of values and of squares of x (N, C, L), float64."""
    mean, var = batch_moments(x)
    moments = torch.stack([torch.ones_like(mean), mean, var + mean.square()])
    return x.shape[0] * x.shape[2] * moments.double()


def _add(totals: dict[int, Tensor], part: int, more: Tensor) -> None:
    totals[part] = totals[part] + more if part in totals else more


def _moments(total: Tensor) -> Tensor:
    """Return mean and variance (2, C) of sums (3, C): of ones, of values and of squares."""
    mean = total[1] / total[0]
    return torch.stack([mean, (total[2] / total[0] - mean.square()).clamp_min(0)])


def _distance(first: Tensor, second: Tensor, source: Tensor) -> float:
    """Compute the distance of two means and variances (2, C), in units of the source's."""
    apart = (first[0] - second[0]).square() + (first[1].sqrt() - second[1].sqrt()).square()
    return (apart / source[1].clamp_min(1e-12)).mean().sqrt().item()
