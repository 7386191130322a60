"""The kernels in C and Triton number the rows of tables as `arguments` does."""

import re
from importlib import import_module

import pytest

from dacbn.norms.mixture import arguments
from dacbn.norms.mixture.kernels.cpu import SOURCE

TABLE = ["LOG_PRIOR", "GATE_MEAN", "GATE_VAR", "SHARE", "MEAN", "VAR", "OFFSET", "DRAG"]
GRADIENTS = ["D_LOG_PRIOR", "D_GATE_MEAN", "D_GATE_VAR", "D_MEAN", "D_VAR", "D_SCALE"]


@pytest.mark.parametrize("file", ["cpu_moments.h", "joint_moments.h"])
def test_the_c_kernels_have_the_same_rows(file):
    header = SOURCE.with_name(file).read_text()
    found = [re.findall(r"\w+", names) for names in re.findall(r"enum \{(.*?)\}", header)]
    for names, ours in zip(found, (TABLE, GRADIENTS), strict=True):
        known = [name.replace("LEVEL", "LOG_PRIOR") for name in names]  # see there
        assert [getattr(arguments, name) for name in known] == list(range(len(ours)))
        assert known == ours


@pytest.mark.parametrize(("file", "names"), [("tiles", TABLE), ("backward", GRADIENTS)])
def test_the_triton_kernels_have_the_same_rows(file, names):
    pytest.importorskip("triton")
    kernels = import_module(f"dacbn.norms.mixture.kernels.gpu_{file}")
    assert {name: getattr(kernels, name).value for name in names} == {
        name: getattr(arguments, name) for name in names
    }


def test_tables_have_a_place_for_every_row():
    assert len(TABLE) == arguments.TABLE_ROWS and len(GRADIENTS) == arguments.GRADIENT_ROWS
