"""Compile a C file on first use, with the compiler found on the machine, and load it.

What is compiled stays in the user's cache folder, under a name made from all that it depends on:
the source with its headers, the flags, the compiler and the processor. Processes that compile at
once each replace the file as a whole, so none ever loads half of one.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-w", "-shared", "-fPIC")
# The first that compiles and loads is taken.
EXTRA_FLAGS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",), ())
TIME_LIMIT = 120  # seconds, for a compiler that hangs


class CompilationError(RuntimeError):
    """There is no library, for the reason given."""


def load_library(source: Path, *definitions: str) -> ctypes.CDLL:
    """Load the library that a C file compiles to, from the cache if it is there unharmed.

    Args:
        source: the C file; headers beside it begin with its name.
        definitions: of macros, as "NAME=value".

    Raises:
        CompilationError: no compiler, no cache folder that can be written, or an error of either.
    """
    compiler = find_compiler()
    try:
        folder = cache_folder()
        path = folder / f"{source.stem}-{_fingerprint(source, definitions, compiler)}.so"
        if _is_whole(path):
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                pass  # compiled anew
        with tempfile.TemporaryDirectory(dir=folder) as work:
            return _compile(compiler, source, definitions, Path(work) / path.name, path)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise CompilationError(str(error)) from error


def find_compiler() -> str:
    """Find the C compiler that the environment variable CC names, or the first of the usual ones.

    Raises:
        CompilationError: there is none.
    """
    for name in filter(None, (os.environ.get("CC"), *COMPILERS)):
        if path := shutil.which(name):
            return path
    raise CompilationError(f"no C compiler found ({', '.join(COMPILERS)})")


def cache_folder() -> Path:
    """Find or make the folder that keeps libraries, which nobody else may write to.

    Raises:
        OSError: it cannot be made, or belongs to another user.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(caches) / "dacbn"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise OSError(f"{folder} belongs to another user")
    return folder


def _fingerprint(source: Path, definitions: tuple[str, ...], compiler: str) -> str:
    program = Path(compiler).resolve()
    status = program.stat()
    parts = (
        *(path.read_bytes() for path in sorted(source.parent.glob(f"{source.stem}*.[ch]"))),
        repr((definitions, FLAGS, EXTRA_FLAGS)).encode(),
        repr((program, status.st_size, status.st_mtime_ns)).encode(),
        _processor().encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """Name the processor, for a home folder that machines of several kinds share."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kinds = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return repr((platform.machine(), platform.processor(), sorted(kinds)))


def _is_whole(path: Path) -> bool:
    """Whether a library is the one that was compiled: loading a damaged one can end the process."""
    try:
        return _checksum_of(path).read_text() == hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return False


def _checksum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _compile(
    compiler: str, source: Path, definitions: tuple[str, ...], made: Path, path: Path
) -> ctypes.CDLL:
    complaint = ""
    for extra in EXTRA_FLAGS:
        defined = [f"-D{definition}" for definition in definitions]
        command = [compiler, *FLAGS, *extra, *defined, str(source), "-o", str(made), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
        try:
            if done.returncode == 0:
                library = ctypes.CDLL(str(made))
                break
            complaint = done.stderr
        except OSError as error:
            complaint = str(error)
    else:
        raise CompilationError(f"{compiler} failed: {complaint.strip()[-500:]}")
    checksum = _checksum_of(made)
    checksum.write_text(hashlib.sha256(made.read_bytes()).hexdigest())
    made.replace(path)
    checksum.replace(_checksum_of(path))
    return library
