"""Run a trained network over images: as it is, adapting to them, or corrected for label shift."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch

from dacbn.batch import Output
from dacbn.datasets import Images
from dacbn.label_shift import HeldOut, check_estimator, correct, describe
from dacbn.methods import test_time_methods
from dacbn.models import Network, takes_cluster_ids
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import find_domain, name_domains, num_sources, one_domain
from dacbn.training.evaluation import run_by_domains
from dacbn.training.run_online import run_online

LOG = logging.getLogger(__name__)


class LabelShift(NamedTuple):
    """A correction for label shift that was asked for.

    Attributes:
        estimator: of the classes' shares, such as "em"; None asks for no correction.
        held_out: outputs for source images, if there are any.
        classes: names of the classes.
        unknown: whether answers may be "unknown".
    """

    estimator: str | None
    held_out: HeldOut | None
    classes: Sequence[str]
    unknown: bool = False


def answering_ids(
    network: Network, config: TrainConfig, domain: str | int | None
) -> tuple[int, ...]:
    """Return the ids of the domains whose statistics answer; see `find_domain`.

    Where there was no target, and none is named, a log record says whose are averaged.
    """
    if domain is None and not takes_cluster_ids(network):
        return (num_sources(config),)  # all answer alike
    found = find_domain(config, domain)
    if len(found) == 1 or not takes_cluster_ids(network):
        return found[:1]
    if domain is None:
        names = ", ".join(name_domains(config)[: len(found)])
        LOG.info("there was no target: answers by the statistics of %s are averaged", names)
    return found


def infer(
    network: Network,
    images: Images,
    cluster_ids: Sequence[int],
    adapt: str | None,
    shift: LabelShift,
) -> Output:
    """Compute features (N, D) and logits (N, num_classes) of N images, on the CPU; N may be 0.

    After a correction for label shift, logits are the logarithms of the corrected probabilities,
    and a log record has the largest shares.

    Args:
        network: a trained network, which is not changed.
        images: N images.
        cluster_ids: domain ids passed to the normalisers; the answers by several are averaged.
        adapt: a test-time method; None does not adapt.
        shift: the correction for label shift.

    Raises:
        UnknownNameError: there is no such test-time method or estimator.
        ValueError: an argument has no such value, the network has nothing to adapt, or label shift
            cannot be corrected.
    """
    if shift.estimator is not None:
        check_estimator(shift.estimator, adapt, shift.unknown)
        if shift.held_out is None:
            raise ValueError(
                "label_shift needs outputs on held-out source images: call hold_out(source_test)"
            )
    method = None if adapt is None else test_time_methods.build(adapt, network)
    device = next(network.parameters()).device
    if not len(images):
        return Output(torch.empty(0, network.num_features), torch.empty(0, network.num_classes))
    if method is not None:
        return run_online(method, images, one_domain(cluster_ids), device)
    return correct_shift(run_by_domains(network, images, cluster_ids, device), shift)


def correct_shift(output: Output, shift: LabelShift) -> Output:
    """Correct outputs for label shift, as `infer` does; those without a correction stay."""
    if shift.estimator is None or shift.held_out is None:
        return output
    corrected = correct(shift.estimator, shift.held_out, output.logits)
    LOG.info(describe(corrected.prior, shift.classes))
    return output._replace(logits=corrected.log_probabilities)
