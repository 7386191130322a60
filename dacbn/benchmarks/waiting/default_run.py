"""The first command of the README after installation, and the report of such a run."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.waiting.builds import Build
from dacbn.benchmarks.waiting.rows import Conditions, Options, compare

CONDITIONS = Conditions("auto", "channels_last", "digits_cnn, 64 + 64 of 32 px")
REPORTED_STEPS = 150  # of the run that is analysed


def time_default_run(options: Options) -> list[Row]:
    """Time `dacbn train` from start to scores, each build with its own defaults."""
    steps = [] if options.steps is None else ["--steps", str(options.steps)]
    return _compared("dacbn train", options, lambda build: ["train", *steps])


def time_analyse(options: Options) -> list[Row]:
    """Time `dacbn analyse` of a short run of the digits."""

    def command(build: Build) -> list[str]:
        run = Path(tempfile.mkdtemp(dir=options.folder)) / "run"
        steps = str(options.steps or REPORTED_STEPS)
        words = ["-m", "dacbn", "train", "--steps", steps, "--run", str(run)]
        build.run(words, options.folder)
        return ["analyse", str(run), "--output", "report"]

    return _compared("dacbn analyse", options, command)


def _compared(what: str, options: Options, command: Callable[[Build], list[str]]) -> list[Row]:
    """Time a command in new folders, compared with that of the reference."""
    if options.reference is None:
        return []

    def timed(build: Build) -> Callable[[], None]:
        words = ["-m", "dacbn", *command(build)]
        return lambda: build.run(words, Path(tempfile.mkdtemp(dir=options.folder)))

    ours, peer = map(timed, (options.build, options.reference))
    return [compare(what, ours, peer, "reference", CONDITIONS, options.rounds)]
