"""fvcore's counter of operations on converted networks."""

import pytest
from idioms import IMAGES, converted, idiom

from dacbn.norms.mixture.operations import count_operations, count_traced

fvcore = pytest.importorskip("fvcore.nn", reason="needs the package fvcore")
OPERATOR = "dacbn::normalise_by_mixture"


@idiom("fvcore's `FlopCountAnalysis`")
@pytest.mark.filterwarnings("ignore")  # of torch.jit.trace, by which fvcore counts
def test_mixtures_are_named_as_not_counted_and_counted_with_their_handle():
    model = converted("ucb_norm").eval()
    plain = fvcore.FlopCountAnalysis(model, IMAGES).unsupported_ops_warnings(False)
    total = plain.total()
    assert plain.unsupported_ops()[OPERATOR] == 3
    counted = fvcore.FlopCountAnalysis(model, IMAGES).set_op_handle(OPERATOR, count_traced)
    shapes = [(4, 4, 6, 6), (4, 6, 4, 4), (4, 5)]
    expected = sum(count_operations(shape, (3, shape[1])) for shape in shapes)
    assert counted.unsupported_ops_warnings(False).total() == total + expected
    assert OPERATOR not in counted.unsupported_ops()
