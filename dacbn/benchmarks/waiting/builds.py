"""Builds of dacbn whose commands are timed: this one, and a reference."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import torch

from dacbn.spelling import spell

# Linux counts the memory of whoever starts a process as its own, so a small one starts it
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
SOURCE = Path(__file__).parents[3]  # of this build, the folder that holds dacbn


@dataclass(frozen=True)
class Build:
    """A build, which runs in processes of as many threads as this one has.

    Attributes:
        python: its Python.
        source: a checkout that comes before what is installed there; None has none.
    """

    python: Path = Path(sys.executable)
    source: Path | None = SOURCE

    @classmethod
    def given(cls, against: Path) -> Self:
        """Find a build by the Python that it is installed for, or by its checkout.

        Raises:
            ValueError: there is none.
        """
        if against.is_dir():
            if not (against / "dacbn" / "__init__.py").exists():
                raise ValueError(f"{spell('against', against)} is no checkout of dacbn")
            return cls(source=against.resolve())
        if not os.access(against, os.X_OK):
            raise ValueError(
                f"{spell('against', against)} is no Python and no checkout: give the file "
                "bin/python of an environment with the reference build, or its source folder"
            )
        return cls(against.absolute(), None)

    def run(self, words: list[str], folder: Path, fails: bool = False) -> None:
        """Run Python with these arguments in a folder, and drop what it prints.

        Raises:
            RuntimeError: the command fails, or with `fails`, it does not.
        """
        done = subprocess.run([self.python, *words], **self._process(folder), capture_output=True)
        if (done.returncode != 0) != fails:
            message = done.stderr.decode(errors="replace").strip()[-500:]
            raise RuntimeError(f"{self.python} {' '.join(words)} ended with: {message}")

    def peak(self, words: list[str], folder: Path) -> int:
        """Run as `run` does; return the most bytes of memory that the process held."""
        command = [sys.executable, "-S", "-c", MEASURE, str(self.python), *words]
        printed = subprocess.run(command, **self._process(folder), capture_output=True, check=True)
        return int(printed.stdout) * (1 if sys.platform == "darwin" else 1024)

    def serve(self, script: Path, words: list[str], folder: Path) -> "Served":
        """Start a script that does its work whenever it reads a line, and answers by one."""
        # by its text, so that the folder of the script does not come before those of packages
        command = [str(self.python), "-c", script.read_text(), *words]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return Served(subprocess.Popen(command, **self._process(folder), **pipes))

    def _process(self, folder: Path) -> dict[str, Any]:
        threads = str(torch.get_num_threads())
        paths = {} if self.source is None else {"PYTHONPATH": str(self.source)}
        return {"cwd": folder, "env": {**os.environ, "OMP_NUM_THREADS": threads, **paths}}


class Served:
    """A process that works when it is called; it ends with the `with` block."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __enter__(self) -> Callable[[], None]:
        return self._call

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it may have ended by itself
            self._pipe(self._process.stdin).close()
        self._pipe(self._process.stdout).close()
        self._process.wait()

    def _call(self) -> None:
        to, answers = self._pipe(self._process.stdin), self._pipe(self._process.stdout)
        to.write("\n")
        to.flush()
        if not answers.readline():
            raise RuntimeError("a process that was timed has ended: its error is above")

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe
