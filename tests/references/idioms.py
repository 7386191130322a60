"""Small converted networks, and the marks that join tests of idioms to the rows of their page."""

import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import share_context

# Kinds of normalisers, by what an idiom may meet.
AFFINE = ["batch_norm", "kalman_norm"]  # in evaluation a BatchNorm
MIXTURES = [
    "ucb_norm",
    "ucb_norm(assign='sample')",
    "ucb_norm(update='hybrid')",
    "mode_norm",
    "latent_domain_norm",
]
BY_ID = ["domain_specific_batch_norm", "auto_dial"]
OTHERS = ["switchable_norm", "lp_batch_norm", "ibn_norm"]
RUNNING = [*AFFINE, *MIXTURES, *BY_ID, *OTHERS]
WITHOUT = ["group_norm", "scb_norm"]  # running statistics
KINDS = [*RUNNING, *WITHOUT]

IMAGES, IDS = (
    torch.linspace(-2, 3, 4 * 3 * 8 * 8).sin().view(4, 3, 8, 8),
    torch.tensor([0, 1, 0, 1]),
)


def idiom(row):
    """Join a test to a row of docs/pages/idioms.md, by its first column."""

    def mark(test):
        test.idiom = row
        return test

    return mark


def small():
    """Return a network with three BatchNorms."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),
    )


def with_ids(model, ids=IDS):
    """Bind ids to a network for good, so that it is a function of images alone."""
    share_context(model)._ids = ids
    return model


def converted(kind, model=None, images=IMAGES):
    """Return a converted network that has seen two batches."""
    torch.manual_seed(0)
    model = small() if model is None else model
    convert_norms(model, kind)
    with_ids(model)
    with torch.no_grad():
        model(images), model(images * 2 + 1)
    return model


def moved(model, before):
    """Return the names of the buffers that differ from those before."""
    return [name for name, value in model.named_buffers() if not value.equal(before[name])]


def buffers_of(model):
    """Return copies of a network's buffers by name."""
    return {name: value.clone() for name, value in model.named_buffers()}
