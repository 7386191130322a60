"""Batches of streams, alone and beside domains that can be fetched by index."""

import dataclasses

import pytest
import torch
from written_shards import level, noise, write_shards

from dacbn.datasets import LabelledImages, TensorImages, UnlabelledImages, shard_epochs
from dacbn.datasets.drawing import mix
from dacbn.datasets.loaders import SOURCE_ORDER, VIEWS, stream_batches
from dacbn.datasets.streams import open_stream
from dacbn.datasets.trained_domains import listed, order_classes, place_domain
from dacbn.datasets.transforms import strong_view, to_float, weak_view

pytest.importorskip("webdataset", reason="needs pip install 'dacbn[webdataset]'")

SIZE, COUNT = 4, 35


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Shards of images whose grey level is their number, of three classes in turn."""
    levels = list(map(level, range(COUNT)))
    folder = tmp_path_factory.mktemp("streamed")
    return f"file:{write_shards(folder, 'a', levels, ('mug', 'bike', 'cup'))}"


@pytest.fixture(scope="module")
def source(address):
    return open_stream(address, SIZE, with_labels=True)


@pytest.fixture(scope="module")
def target(address):
    return open_stream(address, SIZE, with_labels=False)


def indexable(first=100, count=7):
    values = torch.arange(first, first + count, dtype=torch.uint8)
    pixels = values.reshape(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE).contiguous()
    labels = torch.arange(count) % 3
    return LabelledImages(TensorImages(pixels), labels, ("bike", "cup", "mug"))


def batches(sources, targets, start=0, stop=12, **options):
    given = {"family": "none", "strong": False, "seed": 3, "device": "cpu", **options}
    sizes = {"source_batch_size": 5, "target_batch_size": 4}
    return list(stream_batches(sources, targets, **sizes, start=start, stop=stop, **given))


def levels_of(images):
    return (images[:, 0, 0, 0] * 255).round().int().tolist()


def test_every_image_comes_once_in_an_epoch_with_its_own_label(source, target):
    found = batches([source], [target], stop=21)
    seen = [row for batch in found for row in levels_of(batch.source_images)]
    assert [sorted(seen[n : n + COUNT]) for n in (0, COUNT, 2 * COUNT)] == [list(range(COUNT))] * 3
    assert len({tuple(seen[n : n + COUNT]) for n in (0, COUNT, 2 * COUNT)}) == 3
    names = [source.classes[label] for batch in found for label in batch.source_labels]
    assert names == [("mug", "bike", "cup")[row % 3] for row in seen]
    assert all(len(batch.target_images) == 4 for batch in found)


@pytest.mark.parametrize("start", [0, 1, 6, 7, 8, 14, 23])
def test_a_resumed_training_sees_the_same_batches(source, target, start):
    """An epoch has 14 steps of the streamed source and 17.5 of the target."""
    domains = [source, indexable(), source], [indexable().without_labels(), target]
    whole, resumed = (
        batches(*domains, start=first, stop=26, family="photos", strong=True)
        for first in (0, start)
    )
    for batch, again in zip(whole[start:], resumed, strict=True):
        assert batch[5:] == again[5:]
        assert all(torch.equal(a, b) for a, b in zip(batch[:5], again[:5], strict=True))


def test_domains_of_both_kinds_have_equal_shares_in_the_order_that_was_given(source, target):
    found = batches([indexable(), source], [target, indexable(200).without_labels()])
    assert {batch.source_counts for batch in found} == {(3, 2), (2, 3)}
    assert {batch.target_counts for batch in found} == {(2, 2)}
    for batch in found:
        first, rows = batch.source_counts[0], levels_of(batch.source_images)
        assert min(rows[:first]) >= 100 and max(rows[first:]) < 100
        own = [row - 100 for row in rows[:first]]
        assert batch.source_labels[:first].tolist() == [row % 3 for row in own]
        # mug, bike, cup are 2, 0, 1 among the sorted names
        assert batch.source_labels[first:].tolist() == [(row + 2) % 3 for row in rows[first:]]


def test_a_domain_beside_a_stream_is_drawn_as_beside_files(source):
    beside, alone = (
        [levels_of(batch.source_images[: batch.source_counts[0]]) for batch in batches(given, [])]
        for given in ([indexable(), source], [indexable(), indexable(0, 30)])
    )
    assert beside == alone


def test_streams_of_one_address_have_orders_of_their_own(source, target):
    found = batches([source, source], [target], stop=14)
    orders = [[], [], []]
    for batch in found:
        first, rows = batch.source_counts[0], levels_of(batch.source_images)
        for order, own in zip(
            orders, (rows[:first], rows[first:], levels_of(batch.target_images)), strict=True
        ):
            order += own
    assert len({tuple(order[:30]) for order in orders}) == 3


def test_views_are_drawn_as_those_of_files(tmp_path_factory):
    import numpy as np

    random = np.random.default_rng(0)
    pictures = [noise(random, 100) for _ in range(6)]
    pattern = write_shards(tmp_path_factory.mktemp("noise"), "a", pictures, ("a", "b"))
    stream = open_stream(f"file:{pattern}", 32, with_labels=True)
    (batch,) = batches([stream], [], stop=1, family="photos", strong=True)
    pixels, labels = stream.reader(mix(3, SOURCE_ORDER))(torch.arange(5))
    generator = torch.Generator().manual_seed(mix(3, VIEWS, 0))
    weak = weak_view(to_float(pixels), "photos", generator)
    assert torch.equal(batch.source_images, weak) and torch.equal(batch.source_labels, labels)
    assert torch.equal(batch.source_strong, strong_view(weak, "photos", generator))


def test_positions_that_are_left_out_are_skipped_and_not_decoded(source, monkeypatch):
    """So a process that needs a part of each batch decodes no more than that."""
    whole = source.reader(5)(torch.arange(90))
    decoded = []
    decode = "dacbn.datasets.streams.decode"
    monkeypatch.setattr(decode, lambda file, *_: decoded.append(file) or torch.zeros(3, 4, 4))
    read = source.reader(5)
    rows = [torch.tensor([]).long(), torch.tensor([2, 5]), torch.tensor([6, 40, 77])]
    labels = torch.cat([read(row).labels for row in rows])
    assert len(decoded) == 5 and torch.equal(labels, whole.labels[torch.cat(rows)])


def test_processes_read_one_stream(source, monkeypatch):
    alone = source.reader(5)(torch.arange(COUNT)).pixels
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert torch.equal(source.reader(5)(torch.arange(COUNT)).pixels, alone)


def test_a_late_start_reads_two_epochs_and_not_all_before_it(source, monkeypatch):
    expected = source.reader(5)(torch.arange(12 * COUNT))
    epochs, read_epoch = [], shard_epochs.read_epoch

    def note(shards, seed, epoch, split):
        epochs.append(epoch)
        return read_epoch(shards, seed, epoch, split)

    monkeypatch.setattr(shard_epochs, "read_epoch", note)
    for start in (0, 10, COUNT - 1, COUNT, 9 * COUNT, 10 * COUNT + 4):
        epochs.clear()
        found = source.reader(5)(torch.arange(start, start + 30))
        assert torch.equal(found.pixels, expected.pixels[start : start + 30])
        assert len(epochs) <= 3  # the first, that of the start, and the one after it


def test_domains_without_streams_are_listed(source, target):
    known = indexable()
    assert listed([source, known]) == [known] and listed([target]) == []
    assert place_domain(source, torch.device("cpu")) is source
    assert order_classes(source, ("mug", "bike", "cup")).reader(0)(torch.arange(9)).labels.tolist()
    (batch,) = batches([order_classes(source, ("cup", "mug", "bike"))], [], stop=1)
    rows = levels_of(batch.source_images)
    assert batch.source_labels.tolist() == [(row + 1) % 3 for row in rows]


def test_a_stream_of_another_size_is_refused(source, target):
    with pytest.raises(ValueError, match="load both with the same size"):
        batches([source], [UnlabelledImages(TensorImages(torch.zeros(3, 3, 8, 8).byte()))])
    assert batches([source], [dataclasses.replace(target, size=4)], stop=1)
