"""peft's adapters of converted networks, which save what they are told to."""

import copy

import pytest
import torch
from idioms import IDS, IMAGES, converted, idiom, with_ids

from dacbn.norms import Norm

peft = pytest.importorskip("peft", reason="needs the package peft")
pytestmark = pytest.mark.filterwarnings("ignore")


def adapted(kind, folder):
    """Train an adapter with all norms in it; return the network and one made from the files."""
    model = converted(kind)
    start = copy.deepcopy(model)
    norms = [name for name, layer in model.named_modules() if isinstance(layer, Norm)]
    config = peft.LoraConfig(target_modules=["3"], modules_to_save=["8", *norms])
    trained = with_ids(peft.get_peft_model(model, config)).train()
    parameters = [each for each in trained.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.01)
    for shift in range(3):
        trained(IMAGES + shift).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    trained.save_pretrained(folder)
    return trained, with_ids(peft.PeftModel.from_pretrained(start, folder), IDS)


@idiom("peft's `modules_to_save`")
@pytest.mark.parametrize(
    "kind", ["batch_norm", "ucb_norm", "mode_norm", "domain_specific_batch_norm", "group_norm"]
)
def test_norms_that_are_named_are_saved_with_their_statistics(kind, tmp_path):
    trained, loaded = adapted(kind, tmp_path)
    torch.testing.assert_close(loaded.eval()(IMAGES), trained.eval()(IMAGES))


@idiom("peft's `modules_to_save`")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("kalman_norm", "was a normaliser"), ("latent_domain_norm", "not its parts")],
)
def test_norms_that_know_their_network_say_that_they_were_taken_out(kind, reason, tmp_path):
    with pytest.raises(RuntimeError, match=reason):
        adapted(kind, tmp_path)
