"""How the running statistics of a network move in training: with the batches, slowly, or not.

A network fine-tuned on few images forgets its pretrained statistics within a few dozen batches.
Slow statistics forget them less. Frozen ones also normalise in training, so that training and
evaluation compute the same function, as the frozen BatchNorms of detection models do.
"""

from fnmatch import fnmatch
from typing import Any, Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.contract import Norm
from dacbn.norms.seen_as_batch_norm import MOMENTUM, SeenAsBatchNorm, averaging_parts, slow_average

Statistics = Literal["follow", "slow", "frozen"]
SLOW_MOMENTUM = 0.01
_GIVEN = "_momentum_given"  # where a slowed part keeps its own momentum


def set_statistics(model: nn.Module, statistics: Statistics, layers: str = "*") -> list[str]:
    """Set how the running statistics of normalisers move in training.

    It holds until it is set again, whether `train` or `eval` is called. Layers without running
    statistics stay as they are. Layers that are frozen no more have the mode of `model`.

    Args:
        model: any network, converted or not, or a layer.
        statistics: "follow" moves them by the momentum that a layer was built with; "slow" by
            0.01 at most; "frozen" leaves them, and they normalise in training too.
        layers: a pattern of names in `model`, such as "layer1.*".

    Returns:
        the names of the layers that were set.

    Raises:
        ValueError: there is no such way, or the layers cannot be frozen, because they normalise by
            the batch in evaluation too.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        >>> set_statistics(model, "frozen")
        ['1']
        >>> _ = model.train()(torch.randn(8, 3) + 5)
        >>> model[1].running_mean
        tensor([0., 0.])
    """
    if statistics not in get_args(Statistics):
        known = ", ".join(get_args(Statistics))
        raise ValueError(f"statistics must be one of {known}, got {statistics!r}")
    chosen = {
        name: layer
        for name, layer in whole_normalisers(model).items()
        if fnmatch(name, layers) and averaging_parts(layer)
    }
    if statistics == "frozen":
        _check_stored(chosen)
    for layer in chosen.values():
        slow = statistics == "slow"
        for seen in (part for part in layer.modules() if isinstance(part, SeenAsBatchNorm)):
            slow_average(seen, slow)
        for part in averaging_parts(layer):
            _set_momentum(part, slow)
        _freeze(layer, statistics == "frozen", model.training or layer is model)
    return list(chosen)


def whole_normalisers(model: nn.Module) -> dict[str, nn.Module]:
    """Find the normalisers, without those inside of others."""
    kinds = (Norm, _BatchNorm)
    found = {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds)}
    inner = {id(part) for layer in found.values() for part in layer.modules() if part is not layer}
    return {name: layer for name, layer in found.items() if id(layer) not in inner}


def _check_stored(chosen: dict[str, nn.Module]) -> None:
    for name, layer in chosen.items():
        theirs = not isinstance(layer, Norm)
        by_batch = layer.running_mean is None if theirs else layer.always_by_batch
        if by_batch:
            raise ValueError(
                f"{name or 'the layer'} is a {type(layer).__name__} that normalises by the batch "
                "in evaluation too, so its statistics cannot be frozen: choose another norm, or "
                "let the statistics follow"
            )


def _set_momentum(part: Any, slow: bool) -> None:
    given = vars(part).pop(_GIVEN, vars(part)[MOMENTUM])
    vars(part)[MOMENTUM] = given
    if slow:
        setattr(part, _GIVEN, given)
        vars(part)[MOMENTUM] = SLOW_MOMENTUM if given is None else min(given, SLOW_MOMENTUM)


def _freeze(layer: Any, frozen: bool, training: bool) -> None:
    was = getattr(layer, "statistics_frozen", False)
    if frozen and not isinstance(layer, Norm) and "statistics_frozen" not in vars(layer):
        layer.register_forward_pre_hook(_keep_in_evaluation)
    if frozen or was:
        layer.statistics_frozen = frozen
        if isinstance(layer, Norm):
            layer.train(training)
        else:
            layer.training = training and not frozen


def _keep_in_evaluation(layer: Any, _: object) -> None:
    """Undo `train` for a BatchNorm of torch; parts such as dropout keep their mode."""
    if layer.training and layer.statistics_frozen:
        layer.training = False
