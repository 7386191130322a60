"""Any module from images to features as a backbone."""

import copy

import torch
from torch import Tensor, nn

from dacbn.models.first_line import first_line
from dacbn.norms import share_context

MARK = "module:"  # begins the recorded name of a backbone that was given as a module
SIDES = (64, 224, 32)  # pixels, tried in turn when the size of the images is not known yet
CURE = "give a module from images (B, 3, S, S) to features (B, D)"


class OwnModuleError(ValueError):
    """The backbone is a module that cannot serve, or that only Python code can give."""


def name_module(module: nn.Module) -> str:
    """Return the name that stands for a module in the settings."""
    return f"{MARK}{type(module).__name__}"


def missing_module(name: str, run: str = "RUN") -> OwnModuleError:
    """Return the error for a run whose backbone is a module that was not given."""
    return OwnModuleError(
        f"the backbone is a {name.removeprefix(MARK)} that was given as a module: load the run in "
        f"Python, DomainAdapter.from_pretrained({run!r}, backbone=MODULE), or resume it, "
        f"DomainAdapter.from_run({run!r}, backbone=MODULE).fit(SOURCE, TARGET, run={run!r}, "
        "resume=True)"
    )


def check_given(name: str, module: nn.Module | None, run: str) -> None:
    """Check that a module is given for a run just if its backbone is one.

    Args:
        name: the recorded name of the backbone.
        module: the module, if one is given.
        run: the run folder, for the message.

    Raises:
        OwnModuleError: it is not.
    """
    if name.startswith(MARK) and module is None:
        raise missing_module(name, run)
    if module is not None and not name.startswith(MARK):
        raise OwnModuleError(f"the backbone of {run} is {name}, by name: leave out backbone=")


def copy_module(module: nn.Module) -> nn.Module:
    """Copy a module, so that what happens to the copy leaves it as it is.

    Raises:
        OwnModuleError: it is no module, or cannot be copied.
    """
    if not isinstance(module, nn.Module):
        given = type(module).__name__
        raise OwnModuleError(
            f"backbone must be a name or a torch module, got an object of type {given}"
        )
    try:
        return copy.deepcopy(module)
    except Exception as error:  # whatever the attributes of the module raise
        raise OwnModuleError(
            f"{type(module).__name__} cannot be copied ({first_line(error)}): give one that "
            "copy.deepcopy copies, as one that is built anew"
        ) from error


def count_features(module: nn.Module, side: int | None = None) -> int:
    """Run a copy of a module on black images and return the number of its features.

    Args:
        module: maps images (B, 3, S, S) to features (B, D), in training and in evaluation.
        side: pixels per side of the images; None tries a few.

    Raises:
        OwnModuleError: it fails, or returns something else.
    """
    trial, name, failed = copy_module(module), type(module).__name__, None
    sides = SIDES if side is None else (side,)
    for each in sides:
        try:
            outputs = _run(trial, each)
            break
        except Exception as error:  # a module may raise anything
            failed = failed or error
    else:
        assert failed is not None
        raise OwnModuleError(
            f"{name} cannot take images of {' or '.join(map(str, sides))} pixels per side "
            f"({first_line(failed)}): {CURE}, in float32, or set image_size"
        ) from failed
    for batch, features in outputs:
        _check(features, batch, name)
    width, other = (features.shape[1] for _, features in outputs)
    if width != other:
        raise OwnModuleError(f"{name} returns {width} features, and {other} in training: {CURE}")
    return int(width)


def _run(trial: nn.Module, side: int) -> list[tuple[int, Tensor]]:
    """Run an image in evaluation and two in training; return batch sizes and outputs."""
    device = next((parameter.device for parameter in trial.parameters()), torch.device("cpu"))
    context = share_context(trial)
    outputs = []
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        for batch, training in ((1, False), (2, True)):
            with context.bind(torch.zeros(batch, dtype=torch.int64, device=device)):
                images = torch.zeros(batch, 3, side, side, device=device)
                outputs.append((batch, trial.train(training)(images)))
    return outputs


def _check(features: object, batch: int, name: str) -> None:
    if not isinstance(features, Tensor) or not features.is_floating_point():
        kind = features.dtype if isinstance(features, Tensor) else type(features).__name__
        raise OwnModuleError(
            f"{name} returns {kind} and not features: {CURE}, such as one around it whose forward "
            "picks them"
        )
    if features.is_inference():
        raise OwnModuleError(
            f"{name} runs in inference mode, so that nothing on its features can be trained: use "
            "torch.no_grad() in place of torch.inference_mode()"
        )
    shape = tuple(features.shape)
    if len(shape) == 4:
        raise OwnModuleError(
            f"{name} returns maps {shape}: add pooling, as in "
            "torch.nn.Sequential(module, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())"
        )
    if len(shape) != 2 or shape[0] != batch or shape[1] < 1:
        raise OwnModuleError(f"{name} returns {shape} for {batch} images: {CURE}")
