"""A trained network as a folder for the Hugging Face hub, with a model card."""

import copy
import dataclasses
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dacbn.export.formats import formats
from dacbn.export.model_card import write_card
from dacbn.export.network_answers import answers
from dacbn.export.published_settings import publish
from dacbn.export.sample_images import sample_images
from dacbn.export.scores import recorded_scores
from dacbn.export.written_folder import write_folder
from dacbn.models import takes_cluster_ids
from dacbn.models.own_module import MARK
from dacbn.saved_adapter import SavedAdapter
from dacbn.spelling import spell
from dacbn.training import (
    RunFolderError,
    answering_ids,
    name_domains,
    save_held_out,
    save_network,
    write_run_info,
)
from dacbn.training.against import compare_kept

LOG = logging.getLogger(__name__)
CARD = "README.md"
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")  # the hub's identifiers, such as "apache-2.0"
FARTHEST = 1e-4  # difference of probabilities


@formats.add("hub", file="hub")
def write_hub(
    adapter: SavedAdapter,
    path: Path,
    cluster_id: int | str | None,
    *,
    licence: str | None = None,
) -> None:
    """Write a folder for the Hugging Face hub: settings, weights and a model card.

    `DomainAdapter.from_pretrained` loads it. The settings name data, and hold no paths.

    Args:
        adapter: with a trained network.
        path: the folder.
        cluster_id: the domain that is compared, by default each; the folder holds the statistics of
            all.
        licence: of the weights, by the hub's identifier, such as "apache-2.0"; without one, the
            card says that none was given.

    Raises:
        ValueError: the backbone is a module of the user's own; the licence is no identifier.
        StorageError: the folder cannot be written.
    """
    backbone = adapter.config.backbone
    if backbone.startswith(MARK):
        raise ValueError(
            f"the backbone is a {backbone.removeprefix(MARK)} that only your code can make, so "
            "nobody else could load the folder: write another format, such as onnx or torch"
        )
    if licence is not None and not LICENCE.fullmatch(licence):
        raise ValueError(
            f"licence must be an identifier of the hub, such as 'apache-2.0', got {licence!r}"
        )
    info = adapter._run_info()
    scores = recorded_scores(info, adapter.records)
    beside = []
    if adapter._folder is not None:
        with suppress(RunFolderError):  # it has gone since the training
            beside = compare_kept(adapter._folder)
    published = dataclasses.replace(info, config=publish(info.config), trained_on=())
    images, words = sample_images(adapter)
    network = copy.deepcopy(adapter.network).cpu().eval()
    domains: Sequence[int] = range(len(name_domains(adapter.config)))
    if cluster_id is not None or not takes_cluster_ids(network):
        domains = answering_ids(network, adapter.config, cluster_id)

    def fill(draft: Path) -> None:
        write_run_info(draft, published)
        save_network(draft, network)
        save_held_out(draft, adapter.held_out)
        write_card(draft / CARD, published, scores, licence, beside)
        loaded = SavedAdapter.from_pretrained(draft, "cpu").network
        away = max(
            (answers(loaded, images, each) - answers(network, images, each)).abs().max().item()
            for each in domains
        )
        if not away <= FARTHEST:
            raise ValueError(
                f"what is loaded differs from the network by {away:.1e}, on {words}, so nothing "
                "was written: train or load the network again"
            )
        LOG.info("what is loaded differs from the network by at most %.1e, on %s", away, words)

    write_folder(path, fill)
    if licence is None:
        option = spell("format", "hub(licence='apache-2.0')")
        LOG.info("the card names no licence: give one as in %s", option)
