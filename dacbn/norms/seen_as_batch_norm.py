"""What libraries that look for BatchNorm do with norms that have running statistics.

torch's `update_bn` and `convert_sync_batchnorm`, timm's `freeze`, Lightning's callbacks and many
loops of users' own take each `BatchNorm2d` of a network, and pass over all else in silence. A norm
with running statistics is one to them. It does what they ask, or says why it cannot.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from dacbn.norms.host_value import has_values
from dacbn.norms.recomputation import is_recomputation

MOMENTUM, TRACKED, COUNT = "momentum", "_momentum_tracked", "num_batches_tracked"

if TYPE_CHECKING:  # BatchNorm's attributes have other types
    from torch.nn import Module as BatchNormOfTorch
else:
    from torch.nn import BatchNorm2d as BatchNormOfTorch


class SeenAsBatchNorm(BatchNormOfTorch):
    """A norm whose statistics follow batches by a momentum, its own or that of its parts.

    `momentum = None` lets all batches from now on, or from the next reset of the statistics, weigh
    the same, and `track_running_stats = False` keeps the statistics as they are, as in BatchNorm.
    The average goes on from a loaded state by the largest `num_batches_tracked` in it; a norm that
    saves none, such as one by domain, begins anew. A mixture's count is one too high after a start
    on inherited statistics.
    What it does not have raises when it is used, and not when it is looked at, as tracers and
    debuggers do.
    """

    __constants__: ClassVar[list[str]] = []  # BatchNorm's, for torch.jit
    _version = 1  # of saved states: BatchNorm adds what older ones lack
    averages = True  # `momentum = None` takes effect, if it was set
    slowed: "_Average | None" = None  # the average that goes on when the layer follows again

    def __init__(self) -> None:
        nn.Module.__init__(self)  # none of BatchNorm's own parameters and buffers

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        kept = getattr(cls, "statistics", None)
        for name in ("running_mean", "running_var"):
            if not (isinstance(kept, Mapping) and name in kept):
                setattr(cls, name, property(_Missing(name)))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """Load without what BatchNorm adds; an average goes on from the batches that are saved."""
        nn.Module._load_from_state_dict(self, state, prefix, *others)
        if not (_average_of(self) or self.slowed):
            return
        saved = [
            (state.get(f"{name}.{COUNT}".lstrip(".")), part)
            for name, part in self.named_modules(prefix=prefix.removesuffix("."))
        ]
        counts = [  # those of mixtures that wait for a first batch begin at one
            int(count) - getattr(part, "_waits", False)
            for count, part in saved
            if count is not None and has_values(count)
        ]
        if counts:
            restart_average(self, max(0, *counts))

    @property
    def pace(self) -> float:
        """The weight of the newest batch in the running statistics, also if all weigh the same."""
        own: float | None = self.__dict__.get(MOMENTUM)  # looked for first: every batch asks
        if own is not None:
            return own
        return next((float(vars(part)[MOMENTUM]) for part in averaging_parts(self)), 0.0)

    @property
    def momentum(self) -> float | None:
        """The weight of the newest batch in the running statistics; None if all weigh the same."""
        return None if _average_of(self) else self.pace

    @momentum.setter
    def momentum(self, value: float | None) -> None:
        averages = _average_of(self) is not None
        if value is None and averages:
            return  # the batches so far count on
        if averages:
            self.__dict__.pop("_averaging").remove()
        _weigh_alike(self, False)
        if value is None:
            self._averaging = self.register_forward_pre_hook(self.slowed or _Average())
        else:
            _set_momentum(self, value)

    @property
    def track_running_stats(self) -> Any:
        """Whether passes in training move the statistics; it can be set."""
        return Absent(
            f"{type(self).__name__} cannot become a SyncBatchNorm: leave out "
            "convert_sync_batchnorm (sync_batchnorm=False), or keep those layers BatchNorms; "
            "dacbn's own training over processes shares statistics by itself"
        )

    @track_running_stats.setter
    def track_running_stats(self, tracks: bool) -> None:
        for part in averaging_parts(self):
            if not tracks:
                part.__dict__.setdefault(TRACKED, vars(part)[MOMENTUM])
                part.__dict__[MOMENTUM] = 0.0
            elif TRACKED in part.__dict__:
                part.__dict__[MOMENTUM] = part.__dict__.pop(TRACKED)


def averaging_parts(layer: nn.Module) -> list[Any]:
    """Return the layer and those of its parts that have a momentum themselves."""
    return [part for part in layer.modules() if MOMENTUM in vars(part)]


def restart_average(layer: nn.Module, seen: int = 0) -> None:
    """Let the next batch follow those seen, which weigh the same where `momentum` is None."""
    for average in (_average_of(layer), getattr(layer, "slowed", None)):
        if average is not None:
            average.seen = seen


def slow_average(layer: Any, slow: bool) -> None:
    """Let the average of all batches stop setting the momentum, or go on where it stopped.

    One that is asked for while it stops takes effect, such as that of torch's `update_bn`.
    """
    average = _average_of(layer)
    if slow and average is not None:
        layer.momentum = layer.pace
        layer.slowed = average
    elif not slow and layer.slowed is not None:
        layer.momentum = None
        layer.slowed = None


@contextmanager
def averages_kept(parts: Iterable[Any]) -> Iterator[None]:
    """Let averages of all batches count none of those in a `with` block."""
    counting = [part for part in parts if _average_of(part) is not None and part.averages]
    for part in counting:
        part.averages = False
    try:
        yield
    finally:
        for part in counting:
            part.averages = True


def _average_of(layer: nn.Module) -> "_Average | None":
    hooks = layer._forward_pre_hooks.values()
    return next((hook for hook in hooks if isinstance(hook, _Average)), None)


def _set_momentum(layer: nn.Module, value: float) -> None:
    for part in averaging_parts(layer) or [layer]:
        part.__dict__[MOMENTUM] = value


def _weigh_alike(layer: nn.Module, alike: bool) -> list[Any]:
    """Tell the parts that count the batches of each cluster whether all of these weigh the same."""
    counting = [part for part in averaging_parts(layer) if hasattr(part, "alike")]
    for part in counting:
        part.alike = alike
    return counting


class _Average:
    """A hook that weighs each batch in training such that all weigh the same."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, layer: SeenAsBatchNorm, _: object) -> None:
        tracks = not any(TRACKED in vars(part) for part in averaging_parts(layer))
        parts = _weigh_alike(layer, layer.averages and tracks)
        if layer.training and layer.averages and tracks and not is_recomputation():
            if not self.seen:
                for part in parts:
                    part.batches = 0
            self.seen += 1
            _set_momentum(layer, 1 / self.seen)


class _Missing:
    """The getter of a running mean or variance that a norm does not have."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, layer: nn.Module) -> "Absent":
        return Absent(
            f"{type(layer).__name__} has no {self.name}, because it is no BatchNorm in evaluation: "
            "freeze its statistics by dacbn.norms.set_statistics(model, 'frozen'), re-estimate "
            "them by dacbn.norms.recalibrate(model, images), and do not fold it into the layer "
            "before it"
        )


class Absent:
    """Stands for what a layer does not have, and raises as soon as it is used.

    Args:
        why: the text of the error.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def _raise(self, *_: object) -> Any:
        raise RuntimeError(self._why)

    __bool__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __xor__ = _raise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._raise()

    @classmethod
    def __torch_function__(cls, _: object, __: object, args: Any = (), kwargs: Any = None) -> Any:
        return next(each for each in args if isinstance(each, cls))._raise()
