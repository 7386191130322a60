"""Compile a C file on first use, with the compiler found on the machine, and load it.

The library is kept in the user's cache folder, under a hash of everything that it depends on: the
source with its headers, the flags, the compiler and the processor. Processes that compile at the
same time each replace the whole file, so none loads a partial one.
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
# The first that compiles and loads is used.
EXTRA_FLAGS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",), ())
TIME_LIMIT = 120  # seconds, in case the compiler hangs


class CompilationError(RuntimeError):
    """The C library could not be compiled or loaded."""


def load_library(source: Path, *definitions: str) -> ctypes.CDLL:
    """Load the library compiled from a C file, from the cache if it has an intact copy.

    Args:
        source: the C file; its headers are in the same folder.
        definitions: of macros, as "NAME=value".

    Raises:
        CompilationError: there is no compiler or no writable cache folder, or either failed.
    """
    compiler = find_compiler()
    try:
        folder = cache_folder()
        path = folder / f"{source.stem}-{_fingerprint(source, definitions, compiler)}.so"
        if _is_intact(path):
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                pass  # compile it again
        with tempfile.TemporaryDirectory(dir=folder) as work:
            return _compile(compiler, source, definitions, Path(work) / path.name, path)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise CompilationError(str(error)) from error


def find_compiler() -> str:
    """Find the C compiler named by the environment variable CC, or the first of the usual ones.

    Raises:
        CompilationError: there is none.
    """
    for name in filter(None, (os.environ.get("CC"), *COMPILERS)):
        if path := shutil.which(name):
            return path
    raise CompilationError(f"no C compiler found ({', '.join(COMPILERS)})")


def cache_folder() -> Path:
    """Find or create the folder of the compiled libraries, writable by its owner only.

    Libraries in it are loaded, so whoever can write there runs code in this process.

    Raises:
        OSError: it cannot be created, belongs to another user, or others may write to it.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(caches) / "dacbn"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise OSError(f"{folder} belongs to another user")
    if hasattr(os, "getuid") and status.st_mode & 0o022:
        raise OSError(f"{folder} can be written by others: remove it, or chmod go-w it")
    return folder


def _fingerprint(source: Path, definitions: tuple[str, ...], compiler: str) -> str:
    program = Path(compiler).resolve()
    status = program.stat()
    parts = (
        source.read_bytes(),
        *(path.read_bytes() for path in sorted(source.parent.glob("*.h"))),
        repr((definitions, FLAGS, EXTRA_FLAGS)).encode(),
        repr((program, status.st_size, status.st_mtime_ns)).encode(),
        _processor().encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """Describe the processor: several kinds of machines may share one home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kinds = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return repr((platform.machine(), platform.processor(), sorted(kinds)))


def _is_intact(path: Path) -> bool:
    """Whether a library matches its checksum: loading a damaged one can crash the process."""
    try:
        return _checksum_file(path).read_text() == hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return False


def _checksum_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _compile(
    compiler: str, source: Path, definitions: tuple[str, ...], built: Path, path: Path
) -> ctypes.CDLL:
    message = ""
    for extra in EXTRA_FLAGS:
        defined = [f"-D{definition}" for definition in definitions]
        command = [compiler, *FLAGS, *extra, *defined, str(source), "-o", str(built), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
        try:
            if done.returncode == 0:
                library = ctypes.CDLL(str(built))
                break
            message = done.stderr
        except OSError as error:
            message = str(error)
    else:
        raise CompilationError(f"{compiler} failed: {message.strip()[-500:]}")
    checksum = _checksum_file(built)
    checksum.write_text(hashlib.sha256(built.read_bytes()).hexdigest())
    built.replace(path)
    checksum.replace(_checksum_file(path))
    return library
