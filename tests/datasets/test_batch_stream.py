"""Batches as a function of the step."""

import pytest
import torch
from PIL import Image

from dacbn.datasets import (
    FileImages,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
    iterate,
    stream_batches,
)
from dacbn.datasets.loaders import rows_at


def numbered(count, first=0, size=4):
    """Return images whose pixel values are their row."""
    values = torch.arange(first, first + count, dtype=torch.uint8)
    return TensorImages(values.reshape(-1, 1, 1, 1).expand(-1, 3, size, size).contiguous())


def source_of(count):
    return LabelledImages(numbered(count), torch.arange(count) % 10, tuple("0123456789"))


def stream(source_count=10, target_count=7, family="digits", strong=True, seed=0, start=0, stop=12):
    return list(
        stream_batches(
            [source_of(source_count)],
            [UnlabelledImages(numbered(target_count, first=100))],
            source_batch_size=4,
            target_batch_size=3,
            family=family,
            strong=strong,
            seed=seed,
            device="cpu",
            start=start,
            stop=stop,
        )
    )


def are_equal(batch, other):
    """Whether two batches with strong views hold the same numbers."""
    assert batch[5:] == other[5:]  # the counts
    return all(torch.equal(a, b) for a, b in zip(batch[:5], other[:5], strict=True))


def rows_seen(images):
    return (images[:, 0, 0, 0] * 255).round().int().tolist()


def test_a_resumed_stream_is_the_tail_of_the_whole_one_bit_for_bit():
    whole, resumed = stream(), stream(start=7)
    assert len(resumed) == 5
    for batch, again in zip(whole[7:], resumed, strict=True):
        assert are_equal(batch, again)


def test_every_sample_comes_once_an_epoch_in_both_domains():
    batches = stream(family="none", strong=False, stop=35)
    source = [row for batch in batches for row in rows_seen(batch.source_images)]
    target = [row for batch in batches for row in rows_seen(batch.target_images)]
    for rows, wanted in [(source, range(10)), (target, range(100, 107))]:
        size = len(wanted)
        epochs = [tuple(rows[i : i + size]) for i in range(0, len(rows), size)]
        assert all(sorted(epoch) == list(wanted) for epoch in epochs)
        assert len(set(epochs)) > len(epochs) // 2


def test_labels_belong_to_their_images():
    for batch in stream(family="none", strong=False):
        assert batch.source_labels.tolist() == rows_seen(batch.source_images)


def test_the_seed_changes_order_and_views():
    assert not torch.equal(stream()[0].source_images, stream(seed=1)[0].source_images)
    one, other = (stream(family="none", seed=seed) for seed in (0, 1))
    assert any(
        rows_seen(a.target_images) != rows_seen(b.target_images)
        for a, b in zip(one, other, strict=True)
    )


def test_source_and_target_of_one_size_do_not_march_in_step():
    batches = stream(source_count=50, target_count=50, family="none", strong=False)
    source = [row for batch in batches for row in rows_seen(batch.source_images)[:3]]
    target = [row - 100 for batch in batches for row in rows_seen(batch.target_images)]
    pairs = zip(source[:9], target[:9], strict=True)
    assert source[:3] != target[:3] and sum(a == b for a, b in pairs) < 5


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (3, 8), (4, 4), (5, 2)])
def test_rows_are_the_endless_row_of_epochs_cut_up(count, batch_size):
    rows = torch.cat([rows_at(step, count, batch_size, (3, 0)) for step in range(20)])
    for epoch in rows[: len(rows) // count * count].reshape(-1, count):
        assert sorted(epoch.tolist()) == list(range(count))


def test_a_domain_of_one_image_repeats_it():
    batch = stream(source_count=1, target_count=1, family="none", strong=False)[3]
    assert rows_seen(batch.source_images) == [0] * 4 and rows_seen(batch.target_images) == [100] * 3


def test_strong_views_come_only_when_asked_for_and_do_not_change_the_rest():
    plain, strong = stream(strong=False), stream(strong=True)
    assert plain[0].source_strong is None and plain[0].target_strong is None
    assert strong[0].source_strong.shape == strong[0].source_images.shape
    assert strong[0].target_strong.shape == strong[0].target_images.shape
    for a, b in zip(plain, strong, strict=True):
        assert torch.equal(a.source_images, b.source_images)
        assert torch.equal(a.target_images, b.target_images)


def test_images_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="load both with the same size"):
        next(
            stream_batches(
                [source_of(3)],
                [UnlabelledImages(numbered(3, size=8))],
                source_batch_size=2,
                target_batch_size=2,
                family="none",
                strong=False,
                seed=0,
                device="cpu",
                stop=1,
            )
        )


@pytest.fixture
def files(tmp_path):
    paths = tuple(tmp_path / f"{i}.png" for i in range(7))
    for value, path in enumerate(paths):
        Image.new("L", (4, 4), value).save(path)
    return FileImages(paths, 4)


def test_files_stream_as_tensors_do(files):
    streams = [
        stream_batches(
            [source_of(10)],
            [UnlabelledImages(images)],
            source_batch_size=4,
            target_batch_size=3,
            family="digits",
            strong=True,
            seed=5,
            device="cpu",
            stop=9,
        )
        for images in (files, numbered(7))
    ]
    for batch, wanted in zip(*streams, strict=True):
        assert are_equal(batch, wanted)


def test_a_stream_of_files_can_be_left_early(files):
    batches = iterate(files, 2, "cpu")
    next(batches)
    batches.close()


def test_iterate_shuffles_by_a_seed_and_gives_every_image_once():
    def order(seed):
        return torch.cat(list(iterate(numbered(30), 7, "cpu", seed=seed)))[:, 0, 0, 0]

    for seed in (0, 1):
        assert not torch.equal(order(seed), order(None))
        assert torch.equal(order(seed).sort().values, order(None))
        assert torch.equal(order(seed), order(seed))
    assert not torch.equal(order(0), order(1))


@pytest.mark.parametrize("batch_size", [2, 3, 7, 50])
def test_iterate_gives_all_in_order_in_batches_of_nearly_one_size(files, batch_size):
    for images in (files, numbered(7)):
        batches = list(iterate(images, batch_size, "cpu"))
        assert rows_seen(torch.cat(batches)) == list(range(7))
        sizes = [len(batch) for batch in batches]
        assert sizes == {2: [2, 2, 2, 1], 3: [3, 2, 2], 7: [7], 50: [7]}[batch_size]
        assert batches[0].dtype == torch.float32


@pytest.mark.gpu
def test_a_stream_on_the_gpu_never_waits_for_it():
    source, target = source_of(64), UnlabelledImages(numbered(64))
    batches = stream_batches(
        [source],
        [target],
        source_batch_size=8,
        target_batch_size=8,
        family="digits",
        strong=True,
        seed=0,
        device="cuda",
        stop=6,
    )
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert all(batch.target_strong.is_cuda for batch in batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_classes_of_the_source_can_be_equally_frequent():
    labels = torch.tensor([0] * 9 + [1])
    source = LabelledImages(numbered(10), labels, ("a", "b"))
    sizes = {"source_batch_size": 4, "target_batch_size": 3}
    options = {**sizes, "family": "none", "strong": False, "seed": 0, "device": "cpu", "stop": 9}
    target = UnlabelledImages(numbered(7, first=100))
    plain = list(stream_batches([source], [target], **options))
    balanced = list(stream_batches([source], [target], balance_classes=True, **options))
    resumed = list(stream_batches([source], [target], balance_classes=True, start=5, **options))
    for batch in balanced:
        assert sorted(batch.source_labels.tolist()) == [0, 0, 1, 1]
        assert torch.equal(labels[rows_seen(batch.source_images)], batch.source_labels)
    for batch, same in zip(balanced[5:], resumed, strict=True):
        assert torch.equal(batch.source_images, same.source_images)
    for batch, same in zip(balanced, plain, strict=True):
        assert torch.equal(batch.target_images, same.target_images)
