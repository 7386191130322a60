"""Views of a stream: each image has its own, within bounds, and the same for the same numbers."""

import torch

from dacbn.methods import stream_views
from dacbn.methods.stream_views import random_views


def test_views_differ_stay_in_range_and_follow_from_the_generator():
    images = torch.rand(5, 3, 32, 32)
    first, again = (random_views(images, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == images.shape
    assert first.min() >= 0 and first.max() <= 1
    generator = torch.Generator().manual_seed(1)
    assert not torch.equal(random_views(images, generator), random_views(images, generator))
    alike = random_views(images[:1].expand(5, -1, -1, -1), generator)
    assert all(not torch.equal(alike[0], other) for other in alike[1:])


def test_a_view_is_the_image_moved_by_a_few_pixels(monkeypatch):
    monkeypatch.setattr(stream_views, "CONTRAST", 0.0)
    monkeypatch.setattr(stream_views, "NOISE", 0.0)
    images = torch.zeros(300, 3, 32, 32)
    images[:, :, 16, 16] = 1
    views = random_views(images, torch.Generator().manual_seed(0))
    places = views[:, 0].flatten(1).argmax(1)
    rows, columns = places // 32 - 16, places % 32 - 16
    assert {*rows.tolist()} == {*columns.tolist()} == {-2, -1, 0, 1, 2}
    assert torch.allclose(views.sum((1, 2, 3)), torch.tensor(3.0))
