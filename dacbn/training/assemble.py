"""Build the network, the method and the training state from the settings."""

import dataclasses
from typing import Any

import torch
from torch import nn

from dacbn.methods import methods, source_free_methods
from dacbn.models import Network, create_network, freeze_backbone, resolve_norm
from dacbn.models.backbones import Pretrained, check_name, find_pretrained
from dacbn.models.own_module import MARK, count_features
from dacbn.models.sites import find_layers, select
from dacbn.models.weights_file import hash_weights
from dacbn.spec import Spec
from dacbn.spelling import renamed, spell
from dacbn.training.batch_memory import check_batch, count_activations
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import num_domains
from dacbn.training.setting_groups import NetworkSettings
from dacbn.training.starting_defaults import starts_as_probe
from dacbn.training.state import TrainingState
from dacbn.training.storage import first_line
from dacbn.training.validators import validators

FAILURES = (RuntimeError, ValueError, AssertionError)  # of backbones, at a size they cannot take
SIZES = (8, 16, 32, 64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 336, 384, 448, 512)


def check_names(config: TrainConfig) -> None:
    """Check all names and options first, so that a typo fails before images are loaded.

    Raises:
        UnknownNameError: there is no method, norm or validator of that name.
        ValueError: a method or norm has no such option, the method needs images to train a head, or
            two settings contradict each other.
    """
    if not config.source:
        raise ValueError(f"there is no source: give {spell('source')} at least one labelled domain")
    if config.weights is not None and config.pretrained:
        raise ValueError("weights and pretrained both say what to start from: give one of them")
    if config.weights and config.backbone.startswith(MARK):
        raise ValueError(
            "a module brings its own weights: load them into it, and set "
            f"{spell('pretrained', True)} in place of {spell('weights')}"
        )
    if starts_as_probe(config) and (config.classifier or config.bottleneck):
        raise ValueError(
            "a probe is one linear layer on the features of the backbone: leave out "
            f"{spell('classifier')} and set {spell('bottleneck', 0)}, or set "
            f"{spell('classifier_start', 'random')}"
        )
    for name in config.validators:
        validators[name]
    if not is_source_free(config):
        for term in config.method.terms:
            method = methods.check(term)
            if config.train == "head" and (method.wants_strong_views or method.perturbs_images):
                raise ValueError(
                    f"{term.name} changes images, and {spell('train', 'head')} computes their "
                    f"features once: set {spell('train', 'norms')} or {spell('train', 'all')}"
                )
    for norm in (config.norm, config.input_norm):
        if norm is not None:
            resolve_norm(norm)


def check_module(module: nn.Module, config: TrainConfig) -> None:
    """Check that a module can be the backbone, before images are loaded.

    Raises:
        OwnModuleError: it does not map images to features.
        ValueError: it has no layers that the settings could replace.
    """
    count_features(module, config.image_size)
    if config.norm is not None and config.norm_sites != "input":
        with renamed(replaces="norm_replaces"):
            select(list(find_layers(module, config.norm_replaces)), config.norm_sites)


def is_source_free(config: TrainConfig) -> bool:
    """Whether the method adapts a trained network without its source."""
    return config.method.names[0] in source_free_methods


def has_unknown_output(config: TrainConfig) -> bool:
    """Whether the method trains an output of the network for unknown classes."""
    return any(name in methods and methods[name].has_unknown_output for name in config.method.names)


def check_needs_source(config: TrainConfig) -> None:
    """Check that the method can train from the start, with a source.

    Raises:
        ValueError: the method is source-free.
    """
    if is_source_free(config):
        raise ValueError(
            f"{config.method} adapts a trained network, without its source: use dacbn adapt RUN "
            f"--target TARGET --method {config.method!r}, or DomainAdapter.from_pretrained(RUN)"
            ".adapt(TARGET)"
        )


def takes_labelled_target(method: Spec) -> bool:
    """Whether a method, or a part of a sum, learns labelled target images."""
    return any(name in methods and methods[name].takes_labelled_target for name in method.names)


def check_labelled(config: TrainConfig) -> None:
    """Check that labelled target images are given if, and only if, the method takes them.

    Raises:
        ValueError: they are missing or not used, or there are not as many as targets.
    """
    taking = [name for name in methods if methods[name].takes_labelled_target]
    takes = takes_labelled_target(config.method)
    given, setting = config.target_labelled, spell("target_labelled")
    if given and not takes:
        raise ValueError(
            f"{config.method} does not use labelled target images: leave out {setting}, or set "
            f"{' or '.join(spell('method', name) for name in taking)}"
        )
    if takes and not given:
        raise ValueError(
            f"{config.method} needs a few labelled target images: give them as {setting}, or "
            f"choose another {spell('method')}"
        )
    if given and len(given) != len(config.target):
        raise ValueError(
            f"{len(given)} sets of labelled images for {len(config.target)} targets: give "
            f"{setting} as many, in the same order"
        )


def pin_weights(config: TrainConfig) -> TrainConfig:
    """Add the hash of the file of weights, so that another one is noticed later.

    Raises:
        PretrainedWeightsError: there is no such file.
    """
    if config.weights is None or config.weights_sha256 is not None:
        return config
    return dataclasses.replace(config, weights_sha256=hash_weights(config.weights))


def check_start(config: NetworkSettings) -> None:
    """Check that there is what the network starts from, before images are loaded.

    Raises:
        ValueError: there is no such backbone.
        PretrainedWeightsError: its pretrained weights are neither here nor within reach.
    """
    if config.pretrained:
        find_pretrained(config.backbone)
    else:
        check_name(config.backbone)


def build_network(
    config: TrainConfig,
    num_classes: int,
    pretrained: Pretrained = False,
    backbone: nn.Module | None = None,
    image_size: int | None = None,
) -> Network:
    """Build the network of the settings.

    Args:
        config: the settings.
        num_classes: classes.
        pretrained: load the weights that the settings start from, if any; a trained network needs
            none. "cached" never asks the internet.
        backbone: the module, if the settings say that it was given as one.
        image_size: pixels per side, for a module whose features depend on it.

    Raises:
        ValueError: there is no such backbone or norm, or an option has no such value.
        PretrainedWeightsError: the weights cannot be loaded.
    """
    try:
        with renamed(sites="norm_sites", replaces="norm_replaces", id_source="cluster_ids"):
            network = create_network(
                config.backbone if backbone is None else backbone,
                config.norm,
                num_classes,
                pretrained if config.pretrained else False,
                sites=config.norm_sites,
                replaces=config.norm_replaces,
                input_norm=config.input_norm,
                classifier=config.classifier,
                id_source=config.cluster_ids,
                bottleneck=config.bottleneck or 0,
                weights=config.weights if pretrained else None,
                weights_sha256=config.weights_sha256,
                pixel_mean=config.pixel_mean,
                pixel_std=config.pixel_std,
                image_size=image_size,
                statistics="follow" if config.statistics == "auto" else config.statistics,
                num_domains=num_domains(config),
                classifier_temperature=config.classifier_temperature,
            )
    except TypeError as error:
        raise ValueError(f"cannot build {config.norm!r}: {first_line(error)}") from error
    if has_unknown_output(config):
        network.add_unknown_output()
    return network


def create_state(
    config: TrainConfig,
    num_classes: int,
    image_size: int,
    device: torch.device,
    checkpoint: dict[str, Any] | None = None,
    backbone: nn.Module | None = None,
) -> TrainingState:
    """Create the state of a new training, or of the training in a checkpoint.

    Args:
        config: the settings.
        num_classes: classes.
        image_size: pixels per side.
        device: to train on.
        checkpoint: of the training to continue, if there is one.
        backbone: see `build_network`.

    Raises:
        ValueError: the settings do not work together.
        RunFolderError: the checkpoint belongs to another training.
    """
    torch.manual_seed(config.seed)
    network = build_network(config, num_classes, checkpoint is None, backbone, image_size)
    freeze_backbone(network.backbone, config.train)
    activations = _check_size(network, image_size, config.backbone)
    check_batch(batch_sizes(config), image_size, device, activations)
    _check_clusters(network, sum(batch_sizes(config).values()))
    state = TrainingState.create(methods.build(config.method, network).to(device), config)
    if checkpoint is not None:
        state.load_state_dict(checkpoint)
    return state


def batch_sizes(config: TrainConfig) -> dict[str, int]:
    """Return the images of a step by the name of the setting, one for each domain."""
    sizes = {"source_batch_size": config.source_batch_size}
    if is_source_free(config):
        sizes = {}
    if config.target:
        sizes["target_batch_size"] = config.target_batch_size
    if config.target_labelled and not is_source_free(config):
        sizes["labelled_batch_size"] = config.labelled_batch_size
    return sizes


def _check_size(network: Network, size: int, backbone: str) -> int:
    """Run one image, so that a backbone that cannot take the size fails before training.

    Returns:
        the activations that the image leaves for a backward pass, at least.
    """
    try:
        activations = count_activations(network, lambda: _run_one(network, size))
    except FAILURES as error:
        good = next((each for each in SIZES if each > size and _takes(network, each)), None)
        cure = f"set {spell('image_size', good)}, or " if good else ""
        raise ValueError(
            f"{backbone} cannot take images of {size} pixels per side ({first_line(error)}): "
            f"{cure}choose another {spell('backbone')}"
        ) from error
    network.train()
    return activations


def _takes(network: Network, size: int) -> bool:
    try:
        _run_one(network, size)
    except FAILURES:
        return False
    return True


def _run_one(network: Network, size: int) -> None:
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size), torch.zeros(1, dtype=torch.int64))


def _check_clusters(network: Network, batch_size: int) -> None:
    most = max((getattr(layer, "num_clusters", 1) for layer in network.modules()), default=1)
    if most > batch_size:
        raise ValueError(
            f"num_clusters={most} exceeds the {batch_size} images of a batch: lower it, or, where "
            f"they are the domains, raise {spell('source_batch_size')} and "
            f"{spell('target_batch_size')}"
        )
