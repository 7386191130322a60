"""A trained network as a model of timm, with plain BatchNorms, in the folder that timm reads."""

import copy
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dacbn.export.formats import formats
from dacbn.export.network_answers import answers
from dacbn.export.sample_images import sample_images
from dacbn.export.written_folder import write_folder
from dacbn.models import Network
from dacbn.models.own_backbones import own_backbones
from dacbn.models.own_module import MARK
from dacbn.norms import NoChannelMapError, Norm
from dacbn.norms.folding import fold_normalisers
from dacbn.saved_adapter import SavedAdapter
from dacbn.spelling import spell
from dacbn.training import answering_ids

LOG = logging.getLogger(__name__)
WEIGHTS = "model.safetensors"
FARTHEST = 1e-4  # difference of probabilities, or of features relative to the largest one
CROP_MODES = {"crop": "center", "pad": "border", "squeeze": "squash"}  # timm's words
# of the published weights, in timm's description of a model
ORIGIN = ("tag", "license", "origin_url", "paper_ids", "paper_name", "notes")
ELSEWHERE = "write another format, such as onnx or torch"


@formats.add("timm", file="timm")
def write_timm(
    adapter: SavedAdapter, path: Path, cluster_id: int | str | None, *, head: bool = True
) -> None:
    """Write a folder for timm: plain BatchNorms, and the classifier as timm's head.

    Args:
        adapter: with a trained network.
        path: the folder; its model.safetensors is a `checkpoint_path` of timm's, and timm reads all
            of it as `local-dir:`.
        cluster_id: the domain whose statistics are folded.
        head: whether the classifier is written; without it, timm's model returns the features of
            the backbone (`num_classes=0`).

    Raises:
        ValueError: timm's model cannot compute the same; the text gives the reason and the cure.
        StorageError: the folder cannot be written.
    """
    import timm
    from timm.models._hub import save_for_hf  # older versions have it only here

    name = adapter.config.backbone
    if name.startswith(MARK) or name in own_backbones:
        raise ValueError(f"timm has no {name.removeprefix(MARK)}: {ELSEWHERE}")
    if any(isinstance(each, Norm) and each.rebuilds_network for each in adapter.network.modules()):
        raise ValueError(f"{adapter.config.norm} changed other layers of the network: {ELSEWHERE}")
    network, domain = copy.deepcopy(adapter.network).cpu().eval(), _one_domain(adapter, cluster_id)
    if head:
        _check_head(network)
    images, words = sample_images(adapter)
    expected = answers(network, images, domain, head)
    try:
        fold_normalisers(network, domain)
    except NoChannelMapError as error:
        raise ValueError(f"{error}: {ELSEWHERE}") from None
    pixels, model = _pixel_statistics(network), _model_of_timm(name, network, head)
    count = network.num_classes if head else 0
    shown: dict[str, Any] = {"input_size": (3, *images.shape[2:]), **pixels}
    model.pretrained_cfg = _about(model, shown, adapter)
    names = {"label_names": list(adapter.classes)} if head else {}

    def fill(draft: Path) -> None:
        save_for_hf(model, str(draft), names, safe_serialization=True)
        # safetensors makes a file that its owner alone may read
        shutil.copymode(draft / "config.json", draft / WEIGHTS)
        with torch.random.fork_rng():
            made = timm.create_model(name, num_classes=count, checkpoint_path=str(draft / WEIGHTS))
        away = _difference(made.eval(), images, pixels, expected, head)
        if not away <= FARTHEST:
            raise ValueError(
                f"timm's {name} differs from the network by {away:.1e}, more than {FARTHEST:g}, on "
                f"{words}, so nothing was written: {ELSEWHERE}"
            )
        LOG.info("timm's model differs from the network by at most %.1e, on %s", away, words)

    write_folder(path, fill)
    if adapter.config.unknown:
        LOG.info("timm's model answers known classes alone, and none of its answers is unknown")
    call = "timm.create_model(%r, num_classes=%d, checkpoint_path=%r, pretrained_cfg_overlay=%r)"
    LOG.info(call, name, count, str(path / WEIGHTS), shown)


def _check_head(network: Network) -> None:
    """Raise ValueError if timm has no such layers after the backbone."""
    if not isinstance(network.bottleneck, nn.Identity):
        raise ValueError(f"timm's models have no bottleneck before the classifier: {_cure()}")
    if type(network.classifier) is not nn.Linear:
        kind = "hidden layers" if isinstance(network.classifier, nn.Sequential) else "a temperature"
        raise ValueError(f"timm's models have no classifier with {kind}: {_cure()}")


def _cure() -> str:
    return f"export the backbone alone, {spell('format', 'timm(head=False)')}, or {ELSEWHERE}"


def _one_domain(adapter: SavedAdapter, cluster_id: int | str | None) -> int:
    found = answering_ids(adapter.network, adapter.config, cluster_id)
    if len(found) > 1:
        raise ValueError(
            "timm's models have the statistics of one domain, and here the answers by several are "
            f"averaged: choose one of them, {spell('domain')}, or {ELSEWHERE}"
        )
    return found[0]


def _pixel_statistics(network: Network) -> dict[str, tuple[float, ...]]:
    """Return the mean and standard deviation of pixels, a folded input norm included.

    It maps a standardised pixel z to a z + c; so does to standardise by other moments.
    """
    mean, std = (table.flatten().double() for table in (network.pixel_mean, network.pixel_std))
    norm: Any = getattr(network.backbone, "input_norm", None)
    if norm is not None:
        slope = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
        if not bool((slope > 0).all()):
            raise ValueError(
                "the input norm turns pixels around, and timm's standard deviations are positive: "
                + ELSEWHERE
            )
        shift = norm.bias.double() - norm.running_mean.double() * slope
        mean, std = mean - shift * std / slope, std / slope
    # the digits of a float32, not the rounding of its float64
    return {
        name: tuple(float(f"{value:.7g}") for value in table.tolist())
        for name, table in (("mean", mean), ("std", std))
    }


@torch.no_grad()
def _model_of_timm(name: str, network: Network, head: bool) -> Any:
    """Build timm's model with the weights of a folded network."""
    import timm

    with torch.random.fork_rng():
        classes = network.num_classes if head else 0
        model = timm.create_model(name, num_classes=classes).eval()
    theirs, ours = model.state_dict(), _state_without_maps(network.backbone)
    tensors = {key: ours.pop(our) for key in theirs if (our := _our_name(key, ours)) in ours}
    if head:
        tensors |= _head_of_timm(model, network.classifier, set(theirs) - set(tensors))
    for key in (key for key in ours if not key.startswith("input_norm.")):
        layer = key.rpartition(".")[0]
        raise ValueError(f"{layer} is another layer in timm's {name}: {ELSEWHERE}")
    for key in (key for key in theirs if key not in tensors):
        layer = key.rpartition(".")[0]
        raise ValueError(f"timm's {name} has a layer {layer} that the network lacks: {_cure()}")
    model.load_state_dict(tensors)
    return model


def _state_without_maps(backbone: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a backbone, those that are parametrized as they are used.

    torch's `remove_parametrizations` would take them from what was copied, too: a copy has the same
    class, whose property it deletes.
    """
    state = backbone.state_dict()
    for name, module in backbone.named_modules():
        for tensor in getattr(module, "parametrizations", ()):
            inside = f"{name}.parametrizations.{tensor}."
            state = {key: value for key, value in state.items() if not key.startswith(inside)}
            state[f"{name}.{tensor}"] = getattr(module, tensor)
    return state


def _about(model: Any, shown: dict[str, Any], adapter: SavedAdapter) -> dict[str, Any]:
    """Return timm's description of a model: how images become its input, and where it is from."""
    left_out = () if adapter.config.pretrained else ORIGIN
    kept = {key: value for key, value in model.pretrained_cfg.items() if key not in left_out}
    read = {"crop_mode": CROP_MODES[adapter.config.fit], "interpolation": "bilinear"}
    test = {"test_input_size": shown["input_size"], "test_crop_pct": 1.0}
    return {**kept, **shown, **read, **test, "crop_pct": 1.0, "pool_size": None}


def _our_name(key: str, ours: dict[str, Tensor]) -> str:
    """Return the name of timm's tensor in a converted backbone.

    A BatchNorm that had an activation is the first of a sequence.
    """
    layer, _, leaf = key.rpartition(".")
    return key if key in ours else f"{layer}.0.{leaf}"


def _head_of_timm(model: Any, classifier: Any, lacking: set[str]) -> dict[str, Tensor]:
    """Return a linear classifier under the names of timm's, which may be a 1x1 convolution."""
    theirs = model.get_classifier()
    names = {id(module): name for name, module in model.named_modules()}
    known = id(theirs) in names and isinstance(theirs, nn.Linear | nn.Conv2d)
    found = {}
    for leaf in ("weight", "bias"):
        key, values = f"{names.get(id(theirs))}.{leaf}", getattr(classifier, leaf)
        there = getattr(theirs, leaf, None)
        if not known or key not in lacking or there is None or there.numel() != values.numel():
            raise ValueError(
                f"the classifier of timm's {type(model).__name__} is no linear layer of these "
                f"features: {_cure()}"
            )
        found[key] = values.reshape(there.shape)
    return found


@torch.inference_mode()
def _difference(
    model: nn.Module,
    images: Tensor,
    pixels: dict[str, tuple[float, ...]],
    expected: Tensor,
    head: bool,
) -> float:
    """Return the largest difference of timm's answers to images standardised by `pixels`."""
    mean, std = (torch.tensor(pixels[name])[:, None, None] for name in ("mean", "std"))
    found: Tensor = model((images - mean) / std)
    if head:
        return (found.softmax(1) - expected).abs().max().item()
    return ((found - expected).abs().max() / expected.abs().max().clamp_min(1)).item()
