"""Outputs of two domains, as leaves whose gradients can be read, and a network of their sizes."""

import torch
from planted_shift import Plain

from dacbn.batch import Output
from dacbn.models import Network

NUM_FEATURES, NUM_CLASSES = Plain.head_hidden_size, 3


def draw_output(count, shift=0.0):
    """Draw features and logits."""
    features = torch.randn(count, NUM_FEATURES) + shift
    logits = 2 * torch.randn(count, NUM_CLASSES) + shift
    return Output(features.requires_grad_(), logits.requires_grad_())


def draw_outputs(source=5, target=7):
    """Draw outputs of both domains, and source labels."""
    return draw_output(source), draw_output(target, 0.4), torch.randint(NUM_CLASSES, (source,))


def draw_network():
    """Draw a network whose outputs have these sizes."""
    return Network(Plain(), NUM_CLASSES)


def gradients(loss, tensors):
    """Return the gradient of each tensor, None where there is none."""
    return torch.autograd.grad(loss, list(tensors), allow_unused=True, retain_graph=True)
