"""Load a file of trained weights into a backbone; whatever does not fit is an error.

Names in the file may have a prefix, as those of torch's DataParallel ("module."), of a detector
("backbone.") or of MoCo ("encoder_q.") have; that under which most tensors of the backbone are
found is taken, and among equals the first of averaged weights (EMA, teacher), or else the first.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.serialization import safe_globals

from dacbn.models.first_line import first_line
from dacbn.spelling import spell

LOCAL_DIR = "local-dir:"  # timm's word for a folder with config.json and weights
IN_FOLDER = ("model.safetensors", "pytorch_model.bin")  # as timm and the Hugging Face hub name them
AVERAGED = {"ema", "teacher"}
# functions of timm 1.0 that translate the names of other packages, in the modules of its networks
TRANSLATORS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
# a best accuracy that NumPy averaged is no code: torch's loader takes Python's numbers alone
NUMPY_SCALAR = np.float64(0).__reduce__()[0]
NUMPY_SCALARS: list[Any] = [
    (NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    (NUMPY_SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 writes it
    *(np.dtype, *{type(np.dtype(code)) for code in np.typecodes["AllInteger"] + "?efd"}),
]
SHOWN = 20  # names of each kind that an error lists


class PretrainedWeightsError(RuntimeError):
    """Pretrained weights do not exist, cannot be loaded, or belong to another network."""


@dataclass(frozen=True)
class LoadedWeights:
    """What was taken from a file of weights, and what was left out.

    Attributes:
        path: the file.
        prefix: of the names of the tensors that were taken.
        taken: number of tensors of the backbone that the file held.
        head: names of the tensors of the saved classifier, which are left out.
        others: names without the prefix, which belong to other parts of the saved model.
    """

    path: Path
    prefix: str
    taken: int
    head: tuple[str, ...]
    others: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line."""
        text = f"{self.taken} tensors of the backbone taken from {self.path}"
        if self.prefix:
            text += f", under {self.prefix!r}"
        if self.head:
            text += f"; its classifier is left out: {_list(self.head)}"
        if self.others:
            text += f"; other parts are left out: {_list(self.others)}"
        return text


def find_weights(weights: str) -> Path:
    """Return the file that a setting names: itself, or that in a folder in timm's layout.

    Raises:
        PretrainedWeightsError: there is no such file.
    """
    path = Path(weights.removeprefix(LOCAL_DIR))
    if path.is_dir():
        found = [path / name for name in IN_FOLDER if (path / name).is_file()]
        if not found:
            raise PretrainedWeightsError(
                f"the folder {path} has no {' or '.join(IN_FOLDER)}: give the file of weights"
            )
        return found[0]
    if not path.is_file():
        raise PretrainedWeightsError(
            f"there is no file of weights {weights}: give a .safetensors or .pth file, or a folder "
            "that timm saved"
        )
    return path


def hash_weights(weights: str) -> str:
    """Compute the SHA-256, in hexadecimal digits, of the file that a setting names.

    Raises:
        PretrainedWeightsError: there is no such file, or it cannot be read.
    """
    path = find_weights(weights)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PretrainedWeightsError(f"cannot read {path} ({first_line(error)})") from error


def load_weights_file(
    backbone: nn.Module, name: str, weights: str, sha256: str | None = None
) -> LoadedWeights:
    """Load weights into a backbone without a classifier, in place.

    Names and shapes that timm knows from other packages are translated as timm does it. The
    statistics of pixels in a folder's config.json become those of the backbone.

    Args:
        backbone: to load into.
        name: its name, for timm and for messages.
        weights: a .safetensors or .pth file, or a folder in timm's layout ("local-dir:FOLDER").
        sha256: what the file must hash to; None takes any file.

    Raises:
        PretrainedWeightsError: the file is missing, unreadable or another one, or a tensor of the
            backbone is missing, unexpected, of another shape, or not finite.
    """
    path = find_weights(weights)
    if sha256 is not None and hash_weights(weights) != sha256:
        raise PretrainedWeightsError(
            f"{path} is not the file that these settings began with, whose SHA-256 is {sha256}: "
            "bring that one back, or start anew in another folder"
        )
    if Path(weights.removeprefix(LOCAL_DIR)).is_dir():
        _take_description(backbone, name, path.with_name("config.json"))
    saved, expected = _read(path), backbone.state_dict()
    prefix = _find_prefix(saved, expected)
    inside = {n.removeprefix(prefix): each for n, each in saved.items() if n.startswith(prefix)}
    others = tuple(n for n in saved if not n.startswith(prefix))
    tensors = _translate(inside, backbone)
    surplus = [n for n in tensors if n not in expected]
    head = _find_head(surplus, backbone, name)
    if problems := _misfits(tensors, expected, [n for n in surplus if n not in head]):
        if others:
            problems.append(f"{len(others)} not under {prefix!r} ({_list(others)})")
        raise PretrainedWeightsError(
            f"{path} does not fit {name}: {'; '.join(problems)}. Choose the {spell('backbone')} "
            "that wrote it, or in Python give DomainAdapter the module itself"
        )
    taken = {n: each for n, each in tensors.items() if n in expected}
    # not strict: files from before torch 0.4.1 do not count batches, and need not
    backbone.load_state_dict(taken, strict=False)
    return LoadedWeights(path, prefix, len(taken), tuple(head), others)


def _read(path: Path) -> dict[str, Tensor]:
    import timm

    try:
        with safe_globals(NUMPY_SCALARS):
            content = timm.models.load_state_dict(str(path), weights_only=True)
        tensors = dict(_flatten(content))
    except Exception as error:  # of a dozen types, by torch, pickle, zip and safetensors
        reason = first_line(error)
        if "weights_only" in reason:
            damaged = "Unsupported operand" in f"{error} {error.__cause__}"
            reason = "torch.save did not write it" if damaged else "it holds code, which is not run"
        raise PretrainedWeightsError(
            f"cannot read weights from {path} ({reason}): give a .safetensors file, or a .pth file "
            "with tensors alone, as torch.save(model.state_dict(), FILE) writes"
        ) from error
    if not tensors:
        raise PretrainedWeightsError(f"{path} holds no tensors: give a file of weights")
    return tensors


def _flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a dictionary and of those in it, by dotted names."""
    for name, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")


def _find_prefix(saved: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    found: Counter[str] = Counter()
    for name in saved:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in expected:
                found[".".join([*parts[:start], ""])] += 1

    def rank(prefix: str) -> tuple[int, bool]:
        return found[prefix], not AVERAGED.isdisjoint(prefix.replace("_", ".").split("."))

    return max(found, key=rank, default="")


def _translate(tensors: dict[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Translate names and shapes of other packages by the function of timm for this backbone."""
    module = import_module(type(backbone).__module__)
    known = [getattr(module, name) for name in TRANSLATORS if hasattr(module, name)]
    if not known or not module.__name__.startswith("timm."):
        return tensors
    arguments = (dict(tensors), backbone)[: len(signature(known[0]).parameters)]
    try:
        translated: dict[str, Tensor] = known[0](*arguments)
    except Exception:  # names that it does not expect are listed as they are
        return tensors
    return translated


def _find_head(surplus: list[str], backbone: nn.Module, name: str) -> list[str]:
    """Return which of the names that a backbone lacks belong to its classifier."""
    import timm

    classifier = (getattr(backbone, "pretrained_cfg", None) or {}).get("classifier") or ()
    layers = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    head = [n for n in surplus if n.startswith(tuple(f"{layer}." for layer in layers))]
    if len(head) < len(surplus) and timm.is_model(name):
        with torch.random.fork_rng(devices=[]):
            whole = timm.create_model(name).state_dict()  # LeViT's classifier has a norm, too
        head = [n for n in surplus if n in head or n in whole]
    return head


def _misfits(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], unexpected: list[str]
) -> list[str]:
    both = [n for n in expected if n in tensors]
    found = {
        "missing": [
            n for n in expected if n not in tensors and not n.endswith("num_batches_tracked")
        ],
        "unexpected": unexpected,
        "of another shape": [
            f"{n} {tuple(tensors[n].shape)}, not {tuple(expected[n].shape)}"
            for n in both
            if tensors[n].shape != expected[n].shape
        ],
        "NaN or infinite": [n for n in both if not tensors[n].isfinite().all()],
    }
    return [f"{len(names)} {what} ({_list(names)})" for what, names in found.items() if names]


def _take_description(backbone: nn.Module, name: str, file: Path) -> None:
    """Take the data configuration from a folder's config.json, if there is one."""
    if not file.is_file():
        return
    try:
        content = json.loads(file.read_text())
        about = dict(content.get("pretrained_cfg", content))
        built, options = content.get("architecture"), dict(content.get("model_args") or {})
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise PretrainedWeightsError(
            f"cannot read {file} ({error}): give the file of weights beside it"
        ) from error
    if built is not None and built != name.partition(".")[0]:
        raise PretrainedWeightsError(
            f"{file.parent} holds a {built}, not a {name}: choose the backbone {built}"
        )
    known: dict[str, Any] = getattr(backbone, "pretrained_cfg", None) or {}
    if others := _other_options(options, backbone, known):
        raise PretrainedWeightsError(
            f"{file} builds the network with options ({', '.join(others)}), which a run does not "
            "keep: in Python, give DomainAdapter the module that timm.create_model builds from "
            f"{LOCAL_DIR}{file.parent}"
        )
    taken = {key: about[key] for key in known.keys() & about.keys()}
    backbone.pretrained_cfg = {**known, **taken}  # type: ignore[assignment]


def _other_options(
    options: dict[str, Any], backbone: nn.Module, known: dict[str, Any]
) -> list[str]:
    """Return which options build another backbone: timm also saves those that change nothing."""
    pools = [getattr(part, "global_pool", None) for part in (*backbone.children(), backbone)]
    pools = [getattr(pool, "pool_type", pool) for pool in pools]
    built = {
        "in_chans": 3,
        "img_size": [*known.get("input_size", ())[1:]],
        "global_pool": next((pool for pool in pools if isinstance(pool, str)), None),
    }
    return [n for n, v in options.items() if n != "num_classes" and built.get(n, backbone) != v]


def _list(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
