"""Which settings a training on streams cannot have: those that need all images, or their number."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from dacbn.datasets import is_stream
from dacbn.spelling import spell
from dacbn.training.assemble import has_unknown_output
from dacbn.training.config import TrainConfig
from dacbn.training.starting_defaults import starts_as_probe
from dacbn.training.validators import without_target

LOG = logging.getLogger(__name__)


def check_streams(config: TrainConfig, sources: Sequence[Any], targets: Sequence[Any]) -> None:
    """Check that the settings can do with the streams among the domains, before any is read.

    Args:
        config: the settings.
        sources: the sources, as they were given.
        targets: the targets.

    Raises:
        ValueError: a setting needs the images in another order than that of the stream, or their
            number; the text names what to set instead.
    """
    streamed_sources, streamed_targets = (
        list(filter(is_stream, side)) for side in (sources, targets)
    )
    for stream, cannot, cure in (
        *_of_all(config, sources, targets),
        *_of_sources(config, streamed_sources),
        *_of_targets(config, streamed_targets),
    ):
        raise ValueError(
            f"{stream} is a stream, {cannot}: {cure}, or copy its shards here and give their path"
        )
    if streamed_targets and len(without_target(config.validators)) < len(config.validators):
        LOG.info("validators of the target are left out: %s is a stream", streamed_targets[0])


def _of_all(
    config: TrainConfig, sources: Sequence[Any], targets: Sequence[Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield a stream, what cannot be done with it, and what to set instead."""
    domains = [*sources, *targets]
    streams = [each for each in domains if is_stream(each)]
    if streams and config.train == "head":
        cure = f"set {spell('train', 'norms')} or {spell('train', 'all')}"
        yield streams[0], "over which the backbone cannot run once before the training", cure
    if len(streams) == len(domains) and config.cache not in ("auto", "none"):
        cure = f"leave out {spell('cache', config.cache)}"
        yield streams[0], "whose pixels are not kept", cure
    for side in (sources, targets):
        beside = [each for each in side if is_stream(each)] if len(side) > 1 else []
        if beside and not config.balance_domains:
            cure = f"leave out {spell('balance_domains', False)}"
            yield beside[0], "of which nobody knows how many images it has", cure


def _of_sources(config: TrainConfig, streams: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for stream in streams:
        if starts_as_probe(config):
            cure = f"set {spell('classifier_start', 'random')}"
            yield stream, "to whose features no probe can be fitted before the training", cure
        if config.balance_classes:
            cure = f"leave out {spell('balance_classes', True)}"
            yield stream, "of which no class can be drawn more often", cure


def _of_targets(config: TrainConfig, streams: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    chosen = config.validators != TrainConfig.validators
    for stream in streams:
        if config.unknown and not has_unknown_output(config):
            cure = f"set {spell('method', 'osbp')}, which needs no threshold"
            yield stream, f"on which no threshold of {spell('unknown', True)} can be chosen", cure
        if chosen and without_target(config.validators) != [*config.validators]:
            cure = f"set {spell('validators', 'source_accuracy')}"
            yield stream, "on whose images no validator can be computed", cure
