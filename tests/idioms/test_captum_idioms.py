"""captum's attributions of converted networks."""

import pytest
import torch
from idioms import BY_ID, IMAGES, KINDS, converted, idiom
from torch import nn

from dacbn.norms import share_context

attr = pytest.importorskip("captum.attr", reason="needs the package captum")
pytestmark = pytest.mark.filterwarnings("ignore")


class OfTarget(nn.Module):
    """A converted network whose images are all of domain 1, however many there are."""

    def __init__(self, kind):
        super().__init__()
        self.model = converted(kind).eval()

    def forward(self, images):
        """Return the logits."""
        with share_context(self.model).bind(torch.ones(len(images), dtype=torch.int64)):
            return self.model(images)


@idiom("captum: gradients, `DeepLift`, `LRP`")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "group_norm"])
def test_integrated_gradients_add_up_to_the_difference(kind):
    model = OfTarget(kind)
    integrated = attr.IntegratedGradients(model)
    found = integrated.attribute(IMAGES, IMAGES * 0.9, target=2, n_steps=400).flatten(1).sum(1)
    with torch.no_grad():
        difference = (model(IMAGES) - model(IMAGES * 0.9))[:, 2]
    torch.testing.assert_close(found, difference, rtol=0.05, atol=0.02)


@idiom("captum: gradients, `DeepLift`, `LRP`")
@pytest.mark.parametrize("kind", ["batch_norm", "kalman_norm", *BY_ID])
def test_deep_lift_adds_up_where_evaluation_is_affine(kind):
    model = OfTarget(kind)
    _, error = attr.DeepLift(model).attribute(
        IMAGES, IMAGES * 0.9, target=2, return_convergence_delta=True
    )
    assert error.abs().max() < 1e-3


@idiom("captum: gradients, `DeepLift`, `LRP`")
@pytest.mark.parametrize("kind", ["batch_norm", "ucb_norm"])
def test_lrp_says_that_it_knows_no_rule(kind):
    with pytest.raises(TypeError, match="has no rule defined"):
        attr.LRP(OfTarget(kind)).attribute(IMAGES, target=2)
