"""Batch normalisers on two processes: torch's own, recomputed, frozen, in half precision."""

import pytest
from batch_norms_on_processes import look
from launching import launch

# rounding of the type
HALF = {"bfloat16": 2**-8, "float16": 2**-11}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return launch(look, 2, tmp_path_factory.mktemp("two"))


def test_outputs_gradients_and_statistics_are_those_of_one_process(found):
    for far, *_ in found:
        assert {case: value for case, value in far.items() if value > 1e-12} == {}


def test_half_precision_differs_from_one_process_by_its_rounding(found):
    for _, rough, *_ in found:
        for (_, tables), far in rough.items():
            assert far < (1e-5 if tables == "float32" else 4 * HALF[tables])


def test_torchs_layers_refuse_a_single_value_on_all_processes(found):
    for _, _, refusal, *_ in found:
        assert "Expected more than 1 value per channel" in refusal


def test_torchs_layers_are_the_plain_ones_afterwards(found):
    for *_, alike, _ in found:
        assert alike


def test_a_layer_exchanges_once_forward_and_once_backward(found):
    for *_, counts in found:
        assert set(counts.values()) == {(1, 1)}
