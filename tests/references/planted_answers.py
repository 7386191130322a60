"""Images, and answers to them, that tests of galleries know."""

import numpy as np
import torch
from torch import nn

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import TensorImages


def answers(probabilities, labels=None):
    """Return the outputs of a network with these probabilities."""
    shares = np.array(probabilities, float)
    return DomainOutput(shares, shares, None if labels is None else np.array(labels))


def images(count, size=8):
    """Return images, each of one grey, 0, 10, 20 and so on."""
    grey = (torch.arange(count) * 10 % 256).to(torch.uint8)
    return TensorImages(grey.view(-1, 1, 1, 1).expand(-1, 3, size, size).contiguous())


def subject_of(outputs, classes, names=()):
    """Return a network, which no gallery runs, with an image for each answer."""
    samples = {
        domain: Sample(images(len(each.features)), number, None, names)
        for number, (domain, each) in enumerate(outputs.items())
    }
    return Subject("trained", nn.Linear(1, 1), samples, tuple(classes))
