"""Several domains: what is one, and how batches are drawn from them."""

from collections import Counter

import numpy as np
import pytest
import torch

from dacbn.batch import Batch
from dacbn.datasets import LabelledImages, TensorImages, UnlabelledImages, list_domains
from dacbn.datasets.drawing import draw_rows
from dacbn.datasets.loaders import stream_batches

PHOTOS = np.zeros((4, 8, 8, 3), np.uint8)
LABELS = [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        ("mnist", 1),
        (["mnist"], 1),
        (["mnist", "usps"], 2),
        (("mnist", "usps"), 2),
        (["photos/a", "photos/b"], 2),
        (["a.png", "b.jpg"], 1),
        ([PHOTOS, PHOTOS], 2),
        (PHOTOS, 1),
        ((PHOTOS, LABELS), 1),
        ([(PHOTOS, LABELS), (PHOTOS, LABELS)], 2),
        ([(PHOTOS, LABELS), "mnist"], 2),
        ((["a.png", "b.png"], ["ant", "bee"]), 1),
        ([PHOTOS[0], PHOTOS[1]], 1),
    ],
)
def test_a_list_of_domains_is_told_from_the_images_of_one(data, count):
    domains = list_domains(data)
    assert len(domains) == count
    if count == 1 and not (isinstance(data, list) and data == ["mnist"]):
        assert domains[0] is data


def rows(step, counts, batch_size, balance=True):
    keys = [(3, place) for place in range(len(counts))]
    return [each.tolist() for each in draw_rows(counts, batch_size, keys, balance)(step)]


@pytest.mark.parametrize("batch_size", [3, 4, 7, 9])
def test_every_domain_has_as_many_images_and_shows_each_once_an_epoch(batch_size):
    counts = [5, 11, 3]
    seen = [[], [], []]
    for step in range(200):
        drawn = rows(step, counts, batch_size)
        sizes = [len(each) for each in drawn]
        assert sum(sizes) == batch_size and max(sizes) - min(sizes) <= 1
        for own, each in zip(seen, drawn, strict=True):
            own += each
    totals = [len(own) for own in seen]
    assert max(totals) - min(totals) <= 1
    for own, count in zip(seen, counts, strict=True):
        for epoch in range(len(own) // count):
            assert sorted(own[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_by_images_every_image_of_all_domains_comes_once_an_epoch():
    counts, seen = [5, 11, 4], Counter()
    for step in range(20):  # 5 epochs of 20 images
        for domain, each in enumerate(rows(step, counts, 5, balance=False)):
            seen.update((domain, row) for row in each)
    assert len(seen) == 20 and set(seen.values()) == {5}


def test_domains_of_one_size_do_not_march_in_step():
    first, second = rows(0, [40, 40], 60)
    assert first != second


def domain(first, count, size=4):
    values = torch.arange(first, first + count, dtype=torch.uint8)
    return TensorImages(values.reshape(-1, 1, 1, 1).expand(-1, 3, size, size).contiguous())


def batches(sources, targets, **options):
    labelled = [
        LabelledImages(each, torch.arange(len(each)) % 3, ("a", "b", "c")) for each in sources
    ]
    settings = {"source_batch_size": 7, "target_batch_size": 5, "family": "none", "strong": True}
    settings |= {"seed": 0, "device": "cpu", "stop": 9, **options}
    return list(stream_batches(labelled, [UnlabelledImages(each) for each in targets], **settings))


def values(images):
    return (images[:, 0, 0, 0] * 255).round().long()


SOURCES = (domain(0, 10), domain(50, 6), domain(100, 30))
TARGETS = (domain(150, 8), domain(200, 9))


def test_ids_labels_and_images_belong_together():
    for batch in batches(SOURCES, TARGETS):
        source, target = values(batch.source_images), values(batch.target_images)
        assert torch.equal(batch.source_domains, source // 50)
        assert torch.equal(batch.target_domains, target // 50)
        assert torch.equal(batch.source_labels, source % 50 % 3)
        assert sum(batch.source_counts) == 7 and sum(batch.target_counts) == 5
        assert len(batch.source_strong) == 7 and len(batch.target_strong) == 5


def test_the_first_source_and_target_are_drawn_as_when_they_are_alone():
    """So that a second source leaves the order of the first as it was."""
    alone = torch.cat([values(b.source_images) for b in batches(SOURCES[:1], TARGETS[:1])])
    several = torch.cat([values(b.source_images) for b in batches(SOURCES, TARGETS)])
    own = several[several < 50]
    assert torch.equal(own, alone[: len(own)])


def test_several_domains_go_on_where_they_stopped():
    whole, late = batches(SOURCES, TARGETS), batches(SOURCES, TARGETS, start=4)
    for batch, again in zip(whole[4:], late, strict=True):
        assert torch.equal(batch.source_images, again.source_images)
        assert torch.equal(batch.target_images, again.target_images)
        assert batch[5:] == again[5:]


def test_merged_sources_are_one_domain():
    batch = batches(SOURCES, TARGETS, merge_sources=True)[0]
    assert batch.source_counts == (7,) and batch.source_domains.tolist() == [0] * 7
    assert set(batch.target_domains.tolist()) == {1, 2}


def test_merged_targets_are_one_domain():
    batch = batches(SOURCES, TARGETS, merge_targets=True)[0]
    assert batch.target_counts == (5,) and batch.target_domains.tolist() == [3] * 5


def test_without_a_target_there_are_no_target_images():
    batch = batches(SOURCES, ())[0]
    assert batch.target_images.shape == (0, 3, 4, 4) and batch.target_strong.shape[0] == 0
    assert batch.target_domains.tolist() == []


def test_a_batch_without_counts_has_one_source_and_one_target():
    batch = Batch(torch.zeros(3, 3, 2, 2), torch.zeros(3), torch.zeros(2, 3, 2, 2))
    assert batch.source_domains.tolist() == [0] * 3 and batch.target_domains.tolist() == [1] * 2


def test_several_views_of_the_same_samples_have_the_same_ids():
    images = torch.zeros(5, 3, 2, 2)
    batch = Batch(torch.cat([images, images]), torch.zeros(5), images, None, None, (2, 3), (1, 4))
    assert batch.source_domains.tolist() == [0, 0, 1, 1, 1] * 2
    assert batch.target_domains.tolist() == [2, 3, 3, 3, 3]
