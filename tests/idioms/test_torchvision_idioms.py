"""torchvision's feature extractors on converted networks of torchvision."""

import pytest
import torch
from idioms import KINDS, converted, idiom
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

IMAGES = torch.linspace(-2, 3, 4 * 3 * 32 * 32).sin().view(4, 3, 32, 32)
EXTRACTORS = "feature extractors of torchvision and timm (`torch.fx`)"


@idiom(EXTRACTORS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "latent_domain_norm"])
def test_a_norm_is_one_layer(kind):
    model = converted(kind, resnet18(num_classes=5), IMAGES).eval()
    train, evaluation = get_graph_node_names(model)
    assert train == evaluation and "layer1.0.bn1" in train
    found = create_feature_extractor(model, ["layer1", "fc"])(IMAGES)
    assert not model.training
    torch.testing.assert_close(found["fc"], model(IMAGES))


@idiom(EXTRACTORS)
def test_latent_domains_say_that_they_need_the_whole_network():
    model = converted("latent_domain_norm", resnet18(num_classes=5), IMAGES).eval()
    extract = create_feature_extractor(model, ["layer1", "fc"])
    with pytest.raises(RuntimeError, match="call the model that was converted, not its parts"):
        extract(IMAGES)
