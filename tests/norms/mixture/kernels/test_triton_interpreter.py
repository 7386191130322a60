"""The Triton kernels without a GPU, and normalisation without Triton."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import dacbn
from dacbn.norms.mixture.kernels import choose

CHECKS = Path(__file__).with_name("test_gpu_kernel.py")
# The norms need torch only, and the rest of the package takes seconds to import. Checks for integer
# overflow take half of the interpreter's time, and these tensors are small. The interpreter uses
# numpy, which warns of the infinities in some of the tests.
PROGRAM = """
import dataclasses, sys, types
import pytest
from triton.runtime.interpreter import interpreter_builder as builder
package = types.ModuleType("dacbn")
package.__path__ = [sys.argv[1]]
sys.modules["dacbn"] = package
builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)
sys.exit(pytest.main(["-q", "-W", "ignore::RuntimeWarning", sys.argv[2]]))
"""
ENVIRONMENT = {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
ENVIRONMENT |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.fixture
def fresh_kernels():
    """Forget which kernels were found, before and after a test."""
    choose.find_kernels.cache_clear()
    yield
    choose.find_kernels.cache_clear()


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernels_agree_with_float64_in_tritons_interpreter():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, dacbn.__path__[0], str(CHECKS)],
        env={**os.environ, **ENVIRONMENT},
        cwd=CHECKS.parents[4],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]


def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def no_triton(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "triton", None)


def no_luck(monkeypatch):
    def fail(*_):
        raise RuntimeError("no C compiler\nfound anywhere")

    pytest.importorskip("triton")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(choose, "_try", fail)


def switched_off(monkeypatch):
    monkeypatch.setenv("DACBN_KERNEL", "plain")


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (no_gpu, "no CUDA device"),
        (no_triton, "ModuleNotFoundError: import of triton halted"),
        (no_luck, "RuntimeError: no C compiler"),
        (switched_off, "DACBN_KERNEL=plain"),
    ],
)
def test_without_the_kernels_torch_normalises_and_the_reason_is_reported(
    monkeypatch, fresh_kernels, obstacle, reason
):
    obstacle(monkeypatch)
    backend, why = choose.kernel_status("cuda")
    assert backend == "plain torch" and why.startswith(reason) and "\n" not in why


def test_torch_normalises_what_no_kernel_takes():
    for x in (torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3).half()):
        assert choose.kernels_for(x, 3) is choose.PLAIN
    assert choose.kernels_for(torch.zeros(2, 3), 17) is choose.PLAIN
    assert choose.kernels_for(torch.zeros(0, 3), 3) is choose.PLAIN
