"""Commands in processes that are killed at a chosen moment, most of them in the middle of a write.

A process changes a run folder at countable moments: a draft that is half written, a file before and
after it is synchronised, before and after it gets its name, a record cut in its middle. Killing at
moment k of n for all k covers all states that a folder can be in.
"""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["dacbn.cli"])  # imported once, by a process that runs nothing


def run_killed(folder, words, moment=None, seconds=None):
    """Run a command of dacbn, and kill its process with SIGKILL.

    Args:
        folder: to work in; what the command prints is appended to `log` there.
        words: of the command line, after dacbn.
        moment: at which to kill, from 1; None does not kill there.
        seconds: after which to kill; None does not kill there.

    Returns:
        the process's exit code, and the number of moments that it reached.
    """
    reached = PROCESSES.Value("i", 0, lock=False)
    process = PROCESSES.Process(target=_run, args=(folder, words, moment, seconds, reached))
    process.start()
    process.join()
    return process.exitcode, reached.value


def _run(folder, words, moment, seconds, reached):
    import torch

    from dacbn import cli

    torch.set_num_threads(1)
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    _count_moments(moment, reached)
    if seconds is not None:
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    sys.argv = ["dacbn", *map(str, words)]
    cli.main()


def _count_moments(moment, reached):
    """Let the process kill itself at a moment."""
    from dacbn.training.records import Records

    def pass_moment():
        reached.value += 1
        if reached.value == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function, before=lambda *_: None):
        def wrapped(*arguments, **options):
            before(*arguments)
            pass_moment()
            result = function(*arguments, **options)
            pass_moment()
            return result

        return wrapped

    write_bytes, write_text, append = Path.write_bytes, Path.write_text, Records._append
    Path.write_bytes = around(
        write_bytes, lambda path, content: write_bytes(path, bytes(content)[: len(content) // 2])
    )
    Path.write_text = around(
        write_text, lambda path, text: write_text(path, text[: len(text) // 2])
    )
    Path.replace, Path.unlink, os.fsync = map(around, (Path.replace, Path.unlink, os.fsync))

    def append_in_two(self, path, line):
        with path.open("a") as file:
            file.write(line[: len(line) // 2])
        pass_moment()
        os.truncate(path, path.stat().st_size - len(line) // 2)
        append(self, path, line)

    Records._append = append_in_two
