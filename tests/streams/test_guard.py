"""The guard: what it compares, when it speaks, and what a stream does then."""

import math

import numpy as np
import pytest
import torch

from dacbn.streams import guard as module
from dacbn.streams import stream as stream_module
from dacbn.streams.guard import Guard


def logits(labels, classes=4, sure=6.0):
    return sure * torch.nn.functional.one_hot(torch.as_tensor(labels), classes).float()


def test_one_image_in_four_is_asked_whatever_the_batches():
    asked = []
    for sizes in ([1] * 1000, [1000], [7] * 142 + [6]):
        guard, found, first = Guard(4), [], 0
        for size in sizes:
            found += (first + guard.rows(size)).tolist()
            first += size
        asked.append(found)
    assert asked[0] == asked[1] == asked[2] and abs(len(asked[0]) - 250) < 3


@pytest.mark.parametrize("period", range(2, 13))
def test_no_part_of_a_stream_in_turns_is_passed_over(period):
    turns = np.bincount(Guard(4).rows(4000).numpy() % period, minlength=period)
    assert turns.min() > 0.8 * turns.mean()


def test_answers_of_fewer_classes_have_collapsed():
    torch.manual_seed(0)
    guard = Guard(4)
    for _ in range(400):
        guard.watch(logits([1]), logits([torch.randint(4, ()).item()]))
    p = logits([1]).softmax(1)[0].double().tolist()
    ours = -sum(q * math.log(q) for q in p)
    assert f"diversity of {ours:.2f} nats, and those of the source 1." in guard.verdict()


@pytest.mark.parametrize(("share", "collapsed"), [(0.80, True), (0.90, False)])
def test_a_little_less_diversity_than_the_source_has_is_enough(share, collapsed):
    guard = Guard(4)
    high = next(x for x in np.arange(0, 9, 0.001) if entropy(x) < share * math.log(4))
    for _ in range(400):
        guard.watch(torch.tensor([[high, 0, 0, 0]], dtype=torch.float32), torch.zeros(1, 4))
    assert (guard.verdict() is not None) == collapsed


def entropy(logit):
    """Return the entropy of four classes, of which one has this logit and the others 0."""
    p = math.exp(logit) / (math.exp(logit) + 3)
    return -p * math.log(p) - (1 - p) * math.log((1 - p) / 3)


@pytest.mark.parametrize("label", range(4))
def test_a_run_of_one_class_is_no_collapse(label):
    guard = Guard(4)
    for _ in range(400):
        guard.watch(logits([label], sure=9.0), logits([label], sure=5.0))
        assert guard.verdict() is None


def test_nothing_is_said_before_enough_is_known():
    guard = Guard(4)
    for count in range(1, module.NEEDED):
        guard.watch(logits([0]), logits([count % 4]))
        assert guard.verdict() is None


def test_the_past_is_forgotten_by_images_and_not_by_batches():
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 64, 4)
    guards = Guard(4), Guard(4)
    for a, b in zip(ours.split(1), theirs.split(1), strict=True):
        guards[0].watch(a, b)
    guards[1].watch(ours, theirs)
    assert guards[0].compared == guards[1].compared == 64
    assert guards[0].adapted.sum() == pytest.approx(float(guards[1].adapted.sum()), rel=0.1)


class Collapsing:
    """Answers like the adapter's network, and after `sound` images always the first class."""

    def __init__(self, network, sound, value=9.0):
        self.network, self.sound, self.value, self.seen = network, sound, value, 0

    @torch.no_grad()
    def predict(self, images, cluster_ids):
        """Answer."""
        output = self.network(images, cluster_ids)
        self.seen += len(images)
        if self.seen > self.sound:
            output.logits.copy_(torch.tensor([self.value, 0.0]))
        return output

    def state_dict(self):
        """Return how many images were answered."""
        return {"seen": self.seen}

    def load_state_dict(self, state):
        """Go on from there."""
        self.seen = state["seen"]


@pytest.fixture
def collapsing(squares_adapter, monkeypatch):
    def build(value=9.0, batch_size=4, images=slice(None), **options):
        method = Collapsing(squares_adapter.network, 200, value)
        monkeypatch.setattr(
            "dacbn.streams.build.test_time_methods.build", lambda name, network: method
        )
        arriving = np.tile(make_images(), (40, 1, 1))[images]
        return squares_adapter.stream(arriving, "tent", batch_size=batch_size, **options)

    return build


def make_images():
    random = np.random.default_rng(0)
    dark = random.integers(0, 100, (20, 32, 32)) + 120 * (np.arange(20) % 2)[:, None, None]
    return dark.astype(np.uint8)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_a_collapsed_network_is_returned_to_the_source_and_says_so(
    collapsing, squares_adapter, caplog, batch_size
):
    wanted = squares_adapter.predict(make_images())
    if len(set(wanted.tolist())) < 2:
        pytest.skip("the source answers alike")
    stream = collapsing(batch_size=batch_size)
    answered, marks = [], []
    for batch in stream:
        answered += batch.labels.tolist()
        marks += [batch.returned] * len(batch.labels)
    places = [place for place, mark in enumerate(marks) if mark]
    assert 200 <= places[0] < 200 + 4 * 64 + batch_size and stream.returns >= 1
    assert marks[places[0]].startswith("returned to the source: its recent answers have a div")
    assert "the network is returned to the source" in caplog.text
    rest = answered[places[0] : places[0] + stream_module.PAUSE]
    assert rest == np.tile(wanted, 40)[places[0] : places[0] + len(rest)].tolist()


def test_answers_that_are_not_finite_are_those_of_the_source(collapsing, squares_adapter):
    stream = collapsing(value=math.nan)
    found = [label for batch in stream for label in batch.labels.tolist()]
    assert found == np.tile(squares_adapter.predict(make_images()), 40).tolist()
    assert stream.returns == 2  # at image 200, and 256 + 200 images later


def test_without_the_guard_nothing_is_returned(collapsing):
    stream = collapsing(guard=False)
    found = [label for batch in stream for label in batch.labels.tolist()]
    assert set(found[200:]) == {0} and stream.returns == 0


def test_a_state_knows_of_the_guard(collapsing):
    def read(stream):
        return [(batch.labels.tolist(), batch.returned) for batch in stream]

    whole = read(collapsing(value=math.nan))
    first = collapsing(value=math.nan, images=slice(0, 240))
    parts = read(first)
    second = collapsing(value=math.nan, images=slice(240, None), state=first.state_dict())
    assert parts + read(second) == whole
    assert first.returns == 1 and second.returns == 2


def test_images_without_finite_answers_say_nothing():
    guard, other = Guard(4), Guard(4)
    for each in (guard, other):
        each.watch(logits([0, 1]), logits([2, 3]))
    guard.watch(logits([1]), torch.full((1, 4), math.nan))
    guard.watch(torch.cat([logits([2]), torch.full((1, 4), math.inf)]), logits([3, 3]))
    other.watch(logits([2]), logits([3]))
    for name, value in other.state_dict().items():
        assert torch.as_tensor(guard.state_dict()[name]).equal(torch.as_tensor(value)), name


def test_a_state_without_a_longer_past_begins_it_with_the_recent_one():
    guard = Guard(4)
    for label in range(200):
        guard.watch(logits([label % 4]), logits([label % 3]))
    state = guard.state_dict()
    older = {name: value for name, value in state.items() if not name.startswith("long")}
    again = Guard(4)
    again.load_state_dict(older)
    assert again.long_adapted.equal(guard.adapted) and again.long_source.equal(guard.source)
