"""The command line: its commands, and error messages on one line."""

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from dacbn import commands, processes
from dacbn.plain_text import silence
from dacbn.printed_log import printed_log
from dacbn.processes import Elsewhere, Launched, LostProcessError, leads, rank
from dacbn.spec import Spec
from dacbn.spelling import as_option, spelling
from dacbn.training import InterruptedTraining, TrainConfig, raising_stopped
from dacbn.training.storage import LONGEST

DESCRIPTION = "Train a classifier for images of a domain that has no labels."

COMMANDS: dict[str, Callable[..., None]] = {
    "train": commands.train,
    "adapt": commands.adapt,
    "evaluate": commands.evaluate,
    "predict": commands.predict,
    "export": commands.export,
    "analyse": commands.analyse,
    "compare": commands.compare,
    "tune": commands.tune,
    "benchmark": commands.benchmark,
    "list": commands.list_names,
}


ON_ONE_PROCESS = ("compare", "tune", "benchmark")  # while others may be started on several
ARGUMENTS = ConstructorRegistry()


@ARGUMENTS.primitive_rule
def _spec_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Spec] | None:
    """Let tyro read an argument of type `Spec`."""
    if info.type is not Spec:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="STR",
        instance_from_str=_read_spec,
        is_instance=lambda value: isinstance(value, Spec),
        str_from_instance=lambda spec: [str(spec)],
    )


def _read_spec(words: list[str]) -> Spec:
    try:
        return Spec(words[0])
    except ValueError as error:  # tyro would frame it; `main` prints it on one line
        raise RuntimeError(*error.args) from None


@spelling(as_option)
def main() -> None:
    """Run the command line.

    An error is one line on stderr and exit status 1; a signal that asks to end gives 128 + its
    number.
    """
    for stream in (sys.stdout, sys.stderr):  # an arrow must not end a training that logs in ASCII
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace", line_buffering=True)
    known, words = dict(COMMANDS), sys.argv[1:]
    log = sys.stderr if words[:1] == ["predict"] else sys.stdout  # where its table may go
    try:
        with raising_stopped(), _said_by_first(log), _warnings_said_once():
            _refuse_repeated(words)
            _refuse_processes(words)
            if words[:1] == ["train"]:
                known["train"], words[1:] = commands.read_defaults(words[1:])
            if words[:2] == ["benchmark", "streams"]:
                known["benchmark"], words[1:] = commands.benchmark_streams, words[2:]
            if words[:1] == ["compare"]:
                known["compare"] = commands.compare_from(words[1:])
            if words[:1] == ["tune"]:
                known["tune"] = commands.tune_from(words[1:])
            tyro.extras.subcommand_cli_from_dict(
                known, prog="dacbn", description=DESCRIPTION, args=words, registry=ARGUMENTS
            )
    except Elsewhere:
        raise SystemExit(1) from None
    except (KeyboardInterrupt, InterruptedTraining) as stop:  # of a benchmark's training, unsaved
        raise SystemExit(128 + getattr(stop, "number", signal.SIGINT)) from None
    except BrokenPipeError:
        silence(sys.stdout)  # the reader of the output has closed it
        raise SystemExit(0) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("DACBN_TRACEBACK"):
            raise
        if leads():
            print(f"dacbn: {_one_line(_told(error))}", file=sys.stderr)
        elif processes.has_met() or isinstance(
            error, LostProcessError
        ):  # others the first has said too
            print(f"dacbn: process {rank()}: {_one_line(_told(error))}", file=sys.stderr)
        raise SystemExit(1) from None


@contextmanager
def _said_by_first(log: TextIO) -> Iterator[None]:
    """Let the first of several processes alone write to stdout, and print what is logged."""
    if leads():
        with printed_log(log):
            yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def _refuse_repeated(words: list[str]) -> None:
    """Raise if an option is given twice: tyro keeps the last and drops the others."""
    command, flags = COMMANDS.get("".join(words[:1])), commands.list_flags(words)
    if command is None or len(set(flags)) == len(flags):
        return
    kinds = {**get_type_hints(TrainConfig), **get_type_hints(command)}
    for flag in flags:
        name = flag.removeprefix("--").replace("-", "_")
        if name in kinds and flags.count(flag) > 1:
            several = get_origin(kinds[name]) is tuple
            cure = f"give all in one: {flag} a b" if several else "keep one"
            raise ValueError(f"{flag} is given twice: {cure}")


def _refuse_processes(words: list[str]) -> None:
    """Raise if a launcher has started several processes of a command that runs on one."""
    launched, command = Launched.read(), "".join(words[:1])
    if launched is None or launched.count == 1 or command not in ON_ONE_PROCESS:
        return
    others = "; it has --workers" if command == "compare" else ""
    raise ValueError(f"{command} runs on one process: start it without a launcher{others}")


@contextmanager
def _warnings_said_once() -> Iterator[None]:
    """Print each warning on one line, and once, though each training of a comparison repeats it."""
    said: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in said and leads():
            said.add(str(message))
            _show_warning(message)

    usual, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = usual


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"dacbn: warning: {_one_line(message)}", file=sys.stderr)


def _told(error: Exception) -> object:
    """Say of a path that the system refuses what to change; other errors say it themselves."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{error.filename} is too long: {LONGEST}"
    return error


def _one_line(message: object) -> str:
    """Write a message on one line, without control characters: names of files may hold some."""
    text = "".join(each if each.isprintable() else " " for each in str(message))
    return " ".join(text.split())
