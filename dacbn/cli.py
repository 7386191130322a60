"""The command line: its commands, and how mistakes are told."""

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import tyro

from dacbn import commands

DESCRIPTION = "Train a classifier for images of a domain that has no labels."

COMMANDS: dict[str, Callable[..., None]] = {
    "train": commands.train,
    "adapt": commands.adapt,
    "evaluate": commands.evaluate,
    "predict": commands.predict,
    "analyse": commands.analyse,
    "compare": commands.compare,
    "benchmark": commands.benchmark,
    "list": commands.list_names,
}


def main() -> None:
    """Run the command line; a mistake is one line on stderr and exit status 1."""
    warnings.showwarning = _show_warning
    known, words = dict(COMMANDS), sys.argv[1:]
    try:
        if words[:1] == ["train"]:
            known["train"], words[1:] = commands.read_recipe(words[1:])
        tyro.extras.subcommand_cli_from_dict(
            known, prog="dacbn", description=DESCRIPTION, args=words
        )
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on; nothing to say
        raise SystemExit(0) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("DACBN_TRACEBACK"):
            raise
        print(f"dacbn: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"dacbn: warning: {message}", file=sys.stderr)
