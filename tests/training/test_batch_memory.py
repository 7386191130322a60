"""Batches are held against the memory that is free, and never refused where they would fit."""

import pytest
import torch
from torch import nn

from dacbn import memory
from dacbn.training import check_batch, memory_watched
from dacbn.training.batch_memory import count_activations

CPU = torch.device("cpu")
SIZES = {"source_batch_size": 10, "target_batch_size": 6}
# 16 images of 8 x 8 pixels, 3 colours and 4 bytes; and 10 times 100 activations of 2 bytes
IMAGES, ACTIVATIONS = 16 * 8 * 8 * 3 * 4, 10 * 100 * 2


@pytest.mark.parametrize("activations", [0, 100])
def test_exactly_what_fits_is_taken(monkeypatch, activations):
    needed = IMAGES + (ACTIVATIONS if activations else 0)
    monkeypatch.setattr(memory, "free_memory", lambda _: needed)
    check_batch(SIZES, 8, CPU, activations)
    monkeypatch.setattr(memory, "free_memory", lambda _: needed - 1)
    with pytest.raises(ValueError, match="source_batch_size=10 and target_batch_size=6 and images"):
        check_batch(SIZES, 8, CPU, activations)


class Branches(nn.Module):
    """Two convolutions of one input, a third and a linear layer."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.three, self.last = nn.Conv2d(4, 2, 1), nn.Linear(2, 5)

    def forward(self, x):
        """Map images (N, 3, H, W) to (N, 5)."""
        y = self.three(self.one(x).relu() + self.two(x))
        return self.last(y.mean((2, 3)))


def saved_by_autograd(network, x):
    """Sum the sizes of what autograd keeps and is no weight, each tensor once."""
    kept = {}
    own = {p.data_ptr() for p in network.parameters()}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = network(x)
    assert out.requires_grad  # keeps the graph, so that no address is used twice
    return sum(kept.values())


def test_activations_are_counted_once_and_not_above_what_autograd_keeps():
    network, x = Branches(), torch.randn(1, 3, 6, 6)
    counted = count_activations(network, lambda: network(x))
    assert counted == 3 * 36 + 4 * 36 + 2  # x once, though two layers read it
    assert counted <= saved_by_autograd(network, x)
    network.one.requires_grad_(False)
    network.two.requires_grad_(False)
    assert count_activations(network, lambda: network(x)) == 4 * 36 + 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_names_the_batch_sizes(error):
    told = pytest.raises(ValueError, match="lower source_batch_size or target_batch_size")
    with told, memory_watched(SIZES):
        raise error


def test_other_errors_stay_as_they_are():
    with pytest.raises(RuntimeError, match="shapes differ"), memory_watched(SIZES):
        raise RuntimeError("shapes differ")
