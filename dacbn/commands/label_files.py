"""Run a trained network over files, of which few are in memory at a time."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from dacbn.datasets import ImageFile
from dacbn.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from dacbn.adapter import DomainAdapter
    from dacbn.batch import Output
    from dacbn.datasets import OnUnreadable
    from dacbn.datasets.many_files import Outcome
    from dacbn.models import Network

Precision = Literal["auto", "float32", "bfloat16"]
LARGE = 96  # pixels per side, from which precision matters to the time


def label_files(
    adapter: "DomainAdapter",
    files: Sequence[ImageFile],
    domain: str | None,
    label_shift: str | None,
    on_unreadable: "OnUnreadable",
    precision: Precision = "auto",
) -> "tuple[Output, list[str | None]]":
    """Compute what `DomainAdapter.outputs` computes, and hold few images at a time.

    Args:
        adapter: a trained one; the layout of its network in memory becomes channels_last.
        files: N image files.
        domain: whose statistics are used.
        label_shift: an estimator of the classes' shares; None does not correct.
        on_unreadable: skip broken files with a warning, or raise.
        precision: of the network; auto is that of its training for images of at least LARGE pixels,
            and otherwise float32.

    Returns:
        the outputs of the files that can be read, in order; and for each file None, or why it is
        unreadable.

    Raises:
        ValueError: a file is unreadable and `on_unreadable` is "raise", or label shift cannot be
            corrected.
    """
    import torch

    from dacbn.datasets.blocks import read_blocks
    from dacbn.datasets.many_files import report
    from dacbn.label_shift import check_estimator
    from dacbn.training import LabelShift, answering_ids
    from dacbn.training.inference import correct_shift
    from dacbn.training.loop import trains_in_bfloat16

    network, config = adapter.network, adapter.config
    if label_shift is not None:
        check_estimator(label_shift, None, config.unknown)
    device = next(network.parameters()).device
    ids = answering_ids(network, config, domain)
    lowered = precision == "bfloat16"
    if precision == "auto" and adapter.image_size >= LARGE:
        lowered = trains_in_bfloat16(config, device, network)
    network.to(memory_format=torch.channels_last)
    idle = device.type != "cpu" or torch.get_num_threads() < (os.cpu_count() or 1)
    blocks = read_blocks(files, adapter.image_size, config.fit, ahead=idle)
    with Progress(len(files), "image", "predicting") as progress:
        output, outcomes = _run(network, blocks, ids, lowered, progress.update)
    reasons = report(files, outcomes, on_unreadable)
    shift = LabelShift(label_shift, adapter.held_out, adapter.classes, config.unknown)
    return (correct_shift(output, shift) if len(output.logits) else output), reasons


def _run(
    network: "Network",
    blocks: "Iterable[tuple[Tensor, list[Outcome]]]",
    ids: Sequence[int],
    lowered: bool,
    done: Callable[[int], object],
) -> "tuple[Output, list[Outcome]]":
    """Return the outputs of all blocks, on the CPU, and what is known of each file."""
    import torch

    from dacbn.batch import Output, domain_ids
    from dacbn.datasets import to_float
    from dacbn.datasets.many_files import Outcome
    from dacbn.norms import modes_kept
    from dacbn.training import average

    device = next(network.parameters()).device
    outcomes: list[Outcome] = []
    features, logits = [torch.empty(0, network.num_features)], [torch.empty(0, network.num_classes)]
    with modes_kept(network), torch.autocast(device.type, torch.bfloat16, enabled=lowered):
        network.eval()
        for pixels, found in blocks:
            outcomes += found
            images = to_float(pixels.to(device)).contiguous(memory_format=torch.channels_last)
            if len(images):
                with torch.inference_mode():  # not around threads that write pixels
                    each = [network(images, domain_ids(len(images), i, device)) for i in ids]
                block = average([Output(one.features.float(), one.logits.float()) for one in each])
                features.append(block.features.cpu())
                logits.append(block.logits.cpu())
            done(len(found))
    return Output(torch.cat(features), torch.cat(logits)), outcomes
