"""One stream: what is counted, and what a network remembers."""

import copy

import pytest
import torch

from dacbn.batch import Output
from dacbn.benchmarks.stream_cells import Cell, run_cell
from dacbn.datasets import LabelledImages, TensorImages
from dacbn.models import Network, create_network

CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = create_network("digits_cnn", None, 10)
    for _ in range(3):
        network(torch.rand(32, 3, 32, 32))
    return network.eval()


@pytest.fixture(scope="module")
def parts():
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, count in (("day", 30), ("night", 20)):
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 10, (count,), generator=generator)
        found[name] = LabelledImages(TensorImages(pixels), labels, CLASSES)
    return found


def answers(network, domain):
    pixels = domain.images.pixels.float() / 255
    return network(pixels).logits.argmax(1) != domain.labels


@pytest.mark.parametrize("protocol", ["iid", "continual", "correlated", "mixed"])
def test_errors_of_the_source_are_those_of_plain_prediction(network, parts, protocol):
    row = run_cell(network, parts, Cell(protocol, 7, "source", None, 0))
    wrong = {name: answers(network, part).double() for name, part in parts.items()}
    assert row["parts"] == pytest.approx({name: float(w.mean()) for name, w in wrong.items()})
    assert row["error"] == pytest.approx(float(torch.cat([*wrong.values()]).mean()))
    assert len(row["curve"]) == 40 and row["images_per_second"] > 0
    assert (row["images"], row["classes"]) == (50, 10)
    assert row["part_images"] == {"day": 30, "night": 20}
    assert row["protocol"] == protocol and row["norm"] == "source" and row["seed"] == 0


def test_the_network_is_not_changed(network, parts):
    before = copy.deepcopy(network.state_dict())
    run_cell(network, parts, Cell("mixed", 16, "robust_batch_norm", "tent", 0))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_reset_part_is_answered_as_if_it_came_first(network, parts):
    alone = {"night": parts["night"]}
    cell = Cell("continual", 20, "robust_batch_norm(rate=1.0)", None, 0)  # all of it is one batch
    first = run_cell(network, alone, cell)["parts"]["night"]
    assert run_cell(network, parts, cell, reset=True)["parts"]["night"] == first


class Counts(Network):
    """Answers by the number of the batch, whatever the images."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.register_buffer("pixel_mean", torch.zeros(1))
        self.seen = []

    def forward(self, images, cluster_ids=None):
        """Answer 0."""
        self.seen.append((len(images), cluster_ids.unique().tolist()))
        return Output(torch.zeros(len(images), 1), torch.eye(10)[torch.zeros(len(images)).long()])


def test_batches_do_not_cross_a_reset(parts):
    network = Counts()
    run_cell(network, parts, Cell("iid", 16, "source", None, 0), cluster_id=1)
    assert network.seen == [(16, [1]), (14, [1]), (16, [1]), (4, [1])]
    network.seen.clear()
    run_cell(network, parts, Cell("continual", 16, "source", None, 0))
    assert [count for count, _ in network.seen] == [16, 16, 16, 2]
    network.seen.clear()
    row = run_cell(network, parts, Cell("single", 1, "source", None, 0))
    assert len(network.seen) == 50 and 0.5 < row["last_tenth"] <= 1


def test_one_image_at_a_time_is_one(network, parts):
    with pytest.raises(ValueError, match="one image at a time, got 4"):
        run_cell(network, parts, Cell("single", 4, "source", None, 0))
