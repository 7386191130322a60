"""The claim of Kalman normalisation: it learns from micro-batches that starve BatchNorm."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dacbn.models import convert_norms

BATCH, MICRO_BATCH, TRAINING = 32, 2, 480


def accuracy(norm):
    """Train on digits, with statistics of two images at a time; return the test accuracy."""
    torch.manual_seed(0)
    images, labels = (torch.tensor(values) for values in load_digits(return_X_y=True))
    images = ((images - images.mean()) / images.std()).float()
    blocks = [
        part
        for width in (64, 64, 64)
        for part in (nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU())
    ]
    network = nn.Sequential(*blocks, nn.Linear(64, 10))
    convert_norms(network, norm)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    shuffled = torch.randperm(len(images))
    for batch in torch.cat([shuffled[:TRAINING]] * 2).split(BATCH):
        optimizer.zero_grad()
        for part in batch.split(MICRO_BATCH):
            loss = F.cross_entropy(network(images[part]), labels[part])
            (loss * MICRO_BATCH / BATCH).backward()
        optimizer.step()
    network.eval()
    rest = shuffled[TRAINING:]
    return (network(images[rest]).argmax(1) == labels[rest]).float().mean().item()


@pytest.mark.parametrize("transition", ["moments", "learned"])
def test_two_images_at_a_time_are_enough_to_learn_from(transition):
    found = accuracy(f"kalman_norm(transition={transition!r})")
    assert found > 0.7 and found > accuracy("batch_norm") + 0.2
