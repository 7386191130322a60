"""What people do with compiled BatchNorm networks, done with converted ones."""

import copy
import re

import pytest
import torch
from idioms import BY_ID, IMAGES, MIXTURES, converted, idiom, small, with_ids
from torch.utils.checkpoint import checkpoint


@idiom("`torch.compile(fullgraph=True)`")
@pytest.mark.parametrize("kind", ["ucb_norm", "mode_norm", "domain_specific_batch_norm"])
@pytest.mark.parametrize("training", [True, False])
def test_a_compiled_network_is_one_graph(kind, training):
    model = converted(kind).train(training)
    twin = with_ids(copy.deepcopy(model))
    torch._dynamo.reset()
    graph = torch.compile(twin, fullgraph=True, backend="eager")
    torch.testing.assert_close(graph(IMAGES), model(IMAGES))


@idiom("`torch.compile` with checkpoints inside or around")
@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("kind", ["batch_norm", "ucb_norm", "mode_norm", BY_ID[0], "group_norm"])
def test_checkpoints_of_compiled_networks_change_no_gradient_or_are_refused(kind, around):
    model = converted(kind, small()[:2]).train()
    twin = with_ids(copy.deepcopy(model))
    model(IMAGES).sin().sum().backward()
    torch.compiler.reset()

    def inner(images):
        return checkpoint(twin, images, use_reentrant=False)

    def outer(images):
        return checkpoint(compiled, images, use_reentrant=False)

    compiled = torch.compile(twin if around else inner, backend="aot_eager")
    try:
        (outer if around else compiled)(IMAGES).sin().sum().backward()
    except RuntimeError as error:
        assert re.search("without checkpoints|modified by an inplace", str(error))
        assert kind in [*MIXTURES, *BY_ID]
        return
    assert kind not in MIXTURES
    for wanted, found in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-5)
