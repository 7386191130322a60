"""How long the command line and the import take to start, and how much memory."""

from functools import partial

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.waiting.rows import NOT_TENSORS, Options, compare, memory_row

DACBN = ["-m", "dacbn"]
COMMANDS = {
    "--help": [*DACBN, "--help"],
    "list": [*DACBN, "list"],
    "a wrong option": [*DACBN, "train", "--no-such-option"],
}
FAILING = {"a wrong option"}


def time_start(options: Options) -> list[Row]:
    """Time commands that compute nothing, and measure their memory, compared with the reference."""
    if options.reference is None:
        return []
    rows: list[Row] = []
    builds, against = (options.build, options.reference), "reference"
    for name, words in COMMANDS.items():
        ours, peer = (
            partial(build.run, words, options.folder, name in FAILING) for build in builds
        )
        rows.append(compare(f"dacbn {name}", ours, peer, against, NOT_TENSORS, options.rounds))
        held, by_peer = (build.peak(words, options.folder) for build in builds)
        rows.append(memory_row(f"dacbn {name}, memory", held, by_peer, against, NOT_TENSORS))
    return rows


def time_import(options: Options) -> list[Row]:
    """Time the import of the adapter, compared with that of what it stands on."""
    names = "from dacbn import DomainAdapter", "import torch, timm"
    ours, peer = (partial(options.build.run, ["-c", text], options.folder) for text in names)
    return [compare(names[0], ours, peer, names[1], NOT_TENSORS, options.rounds)]
