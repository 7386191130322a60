"""fvcore's counter of operations on converted networks."""

import pytest
from idioms import IMAGES, converted, idiom

fvcore = pytest.importorskip("fvcore.nn", reason="needs the package fvcore")


@idiom("fvcore's `FlopCountAnalysis`")
@pytest.mark.filterwarnings("ignore")  # of torch.jit.trace, by which fvcore counts
def test_the_operations_of_mixtures_are_listed_as_not_counted():
    counted = fvcore.FlopCountAnalysis(converted("ucb_norm").eval(), IMAGES)
    plain = fvcore.FlopCountAnalysis(converted("group_norm").eval(), IMAGES)
    assert counted.unsupported_ops_warnings(False).total() > 0
    assert counted.unsupported_ops()["aten::softmax"] == 3, "one of each layer"
    assert plain.unsupported_ops_warnings(False).total() > 0
    assert "aten::softmax" not in plain.unsupported_ops()
