"""Where statistics went: distances by hand, parts, components, and bounded memory."""

import numpy as np
import pytest
import torch
from torch import nn

from dacbn.models import create_network, with_norm
from dacbn.norms import UCBNorm
from dacbn.norms.following import following
from dacbn.streams import StreamRecorder, recorder


def draw(count, mean, std, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(count, 3, 4, 4, generator=generator)


def test_distances_are_those_by_hand():
    layer = nn.Sequential(nn.BatchNorm2d(3, momentum=0.5))
    layer[0].running_mean.fill_(1.0)
    layer[0].running_var.fill_(4.0)
    record = StreamRecorder(layer.train())
    batches = [
        ("day", draw(20, 3.0, 1.0)),
        ("night", draw(10, -1.0, 2.0)),
        ("day", draw(5, 2.0, 1)),
    ]
    kept = []
    for part, batch in batches:
        record.begin(part, len(batch))
        layer(batch)
        kept.append((layer[0].running_mean.double().numpy(), layer[0].running_var.double().numpy()))
        kept[-1] = tuple(each.copy() for each in kept[-1])
    path = record.finish()
    assert path.parts == ("day", "night") and path.part.tolist() == [0, 1, 0]
    assert path.images.tolist() == [20, 30, 35]

    def distance(a, b):
        apart = (a[0] - b[0]) ** 2 + (np.sqrt(a[1]) - np.sqrt(b[1])) ** 2
        return np.sqrt((apart / 4.0).mean())

    source = np.ones(3), np.full(3, 4.0)
    found = path.layers["0"]
    np.testing.assert_allclose(found.to_source, [distance(now, source) for now in kept])
    parts = []
    for name in path.parts:
        values = torch.cat([batch for part, batch in batches if part == name]).double().numpy()
        parts.append((values.mean((0, 2, 3)), values.var((0, 2, 3))))
    wanted = [[distance(now, part) for part in parts] for now in kept]
    np.testing.assert_allclose(found.to_parts, wanted, rtol=1e-5)
    np.testing.assert_allclose(found.between, [distance(p, source) for p in parts], rtol=1e-5)
    assert found.shares is None


def test_components_take_the_parts_that_are_theirs():
    torch.manual_seed(0)
    layer = UCBNorm(3, num_clusters=2, assign="sample").train()
    for _ in range(60):
        layer(torch.cat([draw(20, -3.0, 0.5), draw(20, 3.0, 0.5)]))
    model = nn.Sequential(layer).eval()
    record = StreamRecorder(model)
    for part, mean in (("low", -3.0), ("high", 3.0)):
        record.begin(part, 8)
        model(draw(8, mean, 0.5))
    shares = record.finish().layers["0"].shares
    np.testing.assert_allclose(shares.sum(1), 1)
    assert shares.max(1).min() > 0.95 and shares[0].argmax() != shares[1].argmax()


@pytest.mark.parametrize("assign", ["sample", "channel"])
def test_batches_of_several_parts_are_told_apart_by_image(assign):
    torch.manual_seed(0)
    layer = UCBNorm(3, num_clusters=2, assign=assign).train()
    layer(torch.cat([draw(20, -3.0, 0.5), draw(20, 3.0, 0.5)]))
    model, batches = (
        nn.Sequential(layer).eval(),
        {"low": draw(8, -3.0, 0.5), "high": draw(4, 3.0, 0.5)},
    )
    apart, mixed = StreamRecorder(model), StreamRecorder(model)
    for part, batch in batches.items():
        apart.begin(part, len(batch))
        model(batch)
    wanted = apart.finish()
    mixed.begin(["low", "high"] * 4 + ["low"] * 4, 12)
    model(
        torch.cat(
            [
                torch.stack([batches["low"][:4], batches["high"]], 1).flatten(0, 1),
                batches["low"][4:],
            ]
        )
    )
    path = mixed.finish()
    assert path.parts == ("low", "high") and path.part.tolist() == [recorder.SEVERAL]
    for found, exact in zip(path.layers["0"][1:], wanted.layers["0"][1:], strict=True):
        np.testing.assert_allclose(found[-1], exact[-1], rtol=1e-5)


def test_only_the_first_pass_of_a_batch_counts_and_hooks_are_removed():
    network = with_norm(create_network("digits_cnn", None, 3), "robust_batch_norm")
    torch.manual_seed(0)
    images = torch.rand(6, 3, 16, 16)
    record, paths = StreamRecorder(network), []
    record.begin("only", 6)
    network(images)
    network(1 - images)
    paths.append(record.finish())
    record = StreamRecorder(network).begin("only", 6)
    network(images)
    paths.append(record.finish())
    for name, layer in paths[0].layers.items():
        np.testing.assert_array_equal(layer.to_parts, paths[1].layers[name].to_parts)
    assert not any(layer._forward_pre_hooks for layer in network.modules())


def test_statistics_that_follow_leave_the_source_and_come_to_the_part():
    network = with_norm(
        create_network("digits_cnn", None, 3).eval(), "robust_batch_norm(rate=0.95)"
    )
    record = StreamRecorder(network)
    torch.manual_seed(0)
    with following(network), torch.no_grad():
        for _ in range(12):
            record.begin("dark", 8)
            network(0.2 * torch.rand(8, 3, 16, 16))
    first = next(iter(record.finish().layers.values()))
    assert first.to_source[-1] > 3 * first.to_source[0] > 0
    assert first.to_parts[-1, 0] < 0.2 * first.to_parts[0, 0]


def test_snapshots_are_bounded(monkeypatch):
    monkeypatch.setattr(recorder, "MOST", 10)
    layer = nn.Sequential(nn.BatchNorm2d(3)).train()
    layer(draw(4, 0.0, 1.0))
    record = StreamRecorder(layer)
    for _ in range(100):
        record.begin("only", 2)
        layer(draw(2, 0.0, 1.0))
    path = record.finish()
    assert 5 <= len(path.images) <= 10 and path.images[-1] <= 200
    assert len(set(np.diff(path.images).tolist())) == 1


@pytest.mark.parametrize("norm", ["instance_norm", "no_norm"])
def test_layers_that_keep_no_statistics_have_no_path(norm):
    record = StreamRecorder(create_network("digits_cnn", norm, 3))
    record.begin("only", 2)
    assert record.finish().layers == {}
