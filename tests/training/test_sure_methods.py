"""Methods that make a network sure of the target, and what that means for estimates."""

from dacbn.methods import methods, source_free_methods
from dacbn.spec import Spec
from dacbn.training.sure_methods import SURE, why_thin


def test_all_of_them_are_methods():
    assert set(SURE) <= {*methods, *source_free_methods}


def test_a_sum_with_one_of_them_is_named():
    assert why_thin(Spec("mcc + dann")) == ("mcc trained the network to be sure of the target",)
    assert why_thin(Spec("dann")) == why_thin(Spec("source_only")) == ()


def test_an_estimate_of_such_a_training_cannot_tell(tiny, source, target):
    adapter = tiny(method="mcc").fit(source, target[0], source_test=source)
    assert "mcc trained the network" in adapter.estimate(target[0]).thin[0]
