"""Class activation maps of converted networks by pytorch-grad-cam."""

import numpy as np
import pytest
from idioms import IMAGES, KINDS, converted, idiom

cam = pytest.importorskip("pytorch_grad_cam", reason="needs the package grad-cam")
targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")


@idiom("pytorch-grad-cam's `GradCAM`")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_the_map_of_a_normaliser_is_that_of_its_gradient(kind):
    model, kept = converted(kind).eval(), {}
    maps = cam.GradCAM(model=model, target_layers=[model[4]])(
        input_tensor=IMAGES, targets=[targets.ClassifierOutputTarget(2)] * len(IMAGES)
    )
    assert maps.shape == (4, 8, 8) and np.isfinite(maps).all()

    def keep(_, __, output):
        kept["y"] = output
        output.retain_grad()

    model[4].register_forward_hook(keep)
    model(IMAGES)[:, 2].sum().backward()
    weights = kept["y"].grad.mean((2, 3), keepdim=True)
    wanted = (weights * kept["y"]).sum(1).relu().detach().numpy()
    for mine, theirs in zip(wanted, maps, strict=True):
        if mine.max() > 0:
            small = theirs.reshape(4, 2, 4, 2).mean((1, 3))
            assert np.corrcoef(mine.ravel(), small.ravel())[0, 1] > 0.8
