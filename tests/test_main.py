"""The command `dacbn` while Python imports what it needs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dacbn

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Says when torch begins to be imported, and waits there for the signal.
IMPORTING = """
import sys, time
class Finder:
    def find_spec(self, name, *_):
        if name == "torch":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Finder())
sys.argv = ["dacbn", "train"]
from dacbn.__main__ import main
main()
"""


@pytest.mark.parametrize("ignored", [False, True])
def test_ctrl_c_during_the_imports_is_quiet(ignored: bool) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = subprocess.Popen(
        [sys.executable, "-c", IMPORTING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=ignore if ignored else None,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    if ignored:  # as shells do for commands in the background of a script
        time.sleep(0.2)
        assert process.poll() is None
        process.kill()
    output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("", "")
    assert process.returncode == (-signal.SIGKILL if ignored else 130)


def test_the_package_imports_no_torch_before_it_is_needed() -> None:
    code = "import sys, dacbn.__main__; print('torch' in sys.modules, 'numpy' in sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert run.stdout == "False False\n"


def test_the_public_names_are_those_of_their_homes() -> None:
    from dacbn.adapter import DomainAdapter
    from dacbn.norms import UCBNorm

    assert dacbn.DomainAdapter is DomainAdapter and dacbn.UCBNorm is UCBNorm
    assert all(hasattr(dacbn, name) and name in dir(dacbn) for name in dacbn.__all__)
    assert dacbn.__version__ and "__version__" in dir(dacbn)


def test_rooms_are_attributes_and_other_names_are_none() -> None:
    code = "import dacbn; print(dacbn.norms.UCBNorm.__name__, dacbn.datasets.__name__)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert run.stdout == "UCBNorm dacbn.datasets\n"
    with pytest.raises(AttributeError, match="module 'dacbn' has no attribute 'DomainAdaptor'"):
        dacbn.DomainAdaptor  # noqa: B018
