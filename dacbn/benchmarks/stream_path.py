"""Where the statistics of a network went while it answered a stream."""

import copy

import torch

from dacbn.batch import domain_ids
from dacbn.benchmarks.protocols import PROTOCOLS, arrange
from dacbn.benchmarks.stream_cell import TRAINED, Cell
from dacbn.benchmarks.stream_cells import gather, stretches
from dacbn.datasets import LabelledImages
from dacbn.models import Network
from dacbn.norms import FollowsStream
from dacbn.streams import StreamPath, StreamRecorder, build_method


def record_cell(
    network: Network,
    parts: dict[str, LabelledImages],
    cell: Cell,
    cluster_id: int = 0,
    reset: bool | None = None,
    concentration: float = 0.1,
) -> StreamPath | None:
    """Let a network answer a stream, and record where its statistics go.

    No batch has images of two parts, unless the protocol mixes them: the last one of a part may be
    smaller.

    Args:
        network: see `dacbn.benchmarks.stream_cells.run_cell`, as for the other arguments.
        parts: the domains by name.
        cell: what to run.
        cluster_id: the domain whose statistics answer.
        reset: return to the source before each part.
        concentration: see `arrange`.

    Returns:
        the path; None if no normaliser keeps statistics that follow.
    """
    norm = None if cell.norm == TRAINED else cell.norm
    method = build_method(network, cell.method, norm, [cluster_id])
    if not any(isinstance(layer, FollowsStream) for layer in method.network.modules()):
        return None
    order = arrange(
        cell.protocol, [part.labels for part in parts.values()], cell.seed, concentration
    )
    by_part = not PROTOCOLS[cell.protocol].mixed
    resets = by_part and (PROTOCOLS[cell.protocol].reset if reset is None else reset)
    recorder, start = StreamRecorder(method.network), copy.deepcopy(method.state_dict())
    names, domains, device = [*parts], [*parts.values()], network.pixel_mean.device
    for stretch in stretches(order, by_part):
        for number, rows in enumerate(torch.split(stretch, cell.batch_size)):
            recorder.begin([names[part] for part in rows[:, 0]], len(rows))
            if resets and number == 0:  # after the snapshot of the part before
                method.load_state_dict(start)
            pixels = gather(domains, rows)[0].to(device).float() / 255
            method.predict(pixels, domain_ids(len(rows), cluster_id, device))
    path = recorder.finish()
    return path if path.layers else None
