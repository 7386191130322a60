"""Mixtures on two processes are those of one, whatever starts, assigns and recomputes them."""

import pytest
import torch
from launching import launch
from mixtures_on_processes import everything


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return launch(everything, 2, tmp_path_factory.mktemp("mixtures"))


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("code", ["walk", "plain_walk"])
def test_every_case_equals_one_process(found, rank, code):
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-10}
    far = {case: value for case, value in found[rank][code].items() if value > tolerance[case[1]]}
    assert far == {}


@pytest.mark.parametrize("rank", [0, 1])
def test_half_precision_differs_by_its_rounding(found, rank):
    assert max(found[rank]["in_half"].values()) < 3e-2


@pytest.mark.parametrize("rank", [0, 1])
def test_second_derivatives_equal_those_of_one_process(found, rank):
    assert max(found[rank]["second_derivatives"].values()) < 1e-10


def test_a_layer_exchanges_once_forward_and_once_backward(found):
    assert set(found[0]["exchanges"].values()) == {(1, 1)}
