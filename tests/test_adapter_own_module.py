"""A module of the user as the backbone of an adapter, and the runs that it leaves."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from dacbn import DomainAdapter, cli
from dacbn.models import OwnModuleError
from dacbn.training import read_run_info

SMALL = {"steps": 2, "source_batch_size": 6, "target_batch_size": 6, "log_every": 1}
SMALL |= {"device": "cpu", "validators": ()}
IMAGES, LABELS = (
    np.random.default_rng(0).integers(0, 256, (12, 32, 32), np.uint8),
    np.arange(12) % 2,
)


class Tiny(nn.Module):
    """Features (B, 8) of images of any size."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)

    def forward(self, images):
        """Compute the features."""
        return self.norm(self.conv(images)).relu().mean((2, 3))


def build():
    torch.manual_seed(3)
    return Tiny()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "run"
    DomainAdapter(build(), **SMALL).fit((IMAGES, LABELS), IMAGES, run=folder)
    return folder


def test_the_module_given_is_not_changed():
    module, before = build(), build().state_dict()
    adapter = DomainAdapter(module, **SMALL).fit((IMAGES, LABELS), IMAGES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert module.training and type(module.norm) is nn.BatchNorm2d
    trained = adapter.network.backbone.conv.weight
    assert trained.shape == module.conv.weight.shape and not torch.equal(
        trained, module.conv.weight
    )


def test_pretrained_weights_of_a_module_are_fine_tuned(tmp_path, caplog):
    """With the settings that timm's weights have, from the weights and statistics that it has."""
    caplog.set_level("INFO", "dacbn")
    start = build()
    with torch.no_grad():
        start(torch.randn(4, 3, 8, 8))  # statistics that are not those of a new layer
    rates = {"lr": 1e-12, "warmup": 0.0}
    adapter = DomainAdapter(start, pretrained=True, **SMALL, **rates)
    adapter.fit((IMAGES, LABELS), IMAGES, run=tmp_path / "run")
    named = DomainAdapter("resnet18", pretrained=True, **SMALL, **rates).config
    assert dataclasses.replace(named, backbone="module:Tiny") == dataclasses.replace(
        adapter.config, source=named.source, target=named.target
    )
    assert "defaults for pretrained weights: norm None" in caplog.text
    assert "linear probe" in caplog.text
    for name, tensor in start.state_dict().items():
        torch.testing.assert_close(adapter.network.backbone.state_dict()[name], tensor)
    again = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu", backbone=build())
    np.testing.assert_allclose(
        again.predict_proba(IMAGES), adapter.predict_proba(IMAGES), atol=1e-5
    )


def test_a_frozen_module_leaves_the_classifier_to_be_fitted():
    adapter = DomainAdapter(build(), **SMALL, train="head", method="source_only", lr=1e-12)
    features = adapter.fit((IMAGES, LABELS), IMAGES).transform(IMAGES)
    probe = LogisticRegression(max_iter=1000).fit(features.astype(float), LABELS)
    expected = probe.predict_proba(features)
    np.testing.assert_allclose(adapter.predict_proba(IMAGES), expected, atol=1e-5)


def test_every_fit_starts_from_the_module_as_it_was_given():
    module = build()
    adapter = DomainAdapter(module, **SMALL)
    nn.init.zeros_(module.conv.weight)
    first, second = (adapter.fit((IMAGES, LABELS), IMAGES).predict_proba(IMAGES) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    expected = DomainAdapter(build(), **SMALL).fit((IMAGES, LABELS), IMAGES).predict_proba(IMAGES)
    np.testing.assert_array_equal(first, expected)


def test_a_run_is_loaded_with_any_module_of_the_architecture(run):
    trained = DomainAdapter(build(), **SMALL).fit((IMAGES, LABELS), IMAGES)
    again = DomainAdapter.from_pretrained(run, device="cpu", backbone=Tiny())
    assert read_run_info(run).config.backbone == "module:Tiny"
    np.testing.assert_array_equal(again.predict_proba(IMAGES), trained.predict_proba(IMAGES))


def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole = DomainAdapter(
        build(), **SMALL | {"steps": 3, "schedule": "constant", "method": "source_only"}
    )
    whole.fit((IMAGES, LABELS), IMAGES)
    halves = DomainAdapter(
        build(), **SMALL | {"steps": 2, "schedule": "constant", "method": "source_only"}
    )
    halves.fit((IMAGES, LABELS), IMAGES, run=tmp_path / "run")
    rest = DomainAdapter.from_run(tmp_path / "run", backbone=Tiny())
    rest = DomainAdapter(**vars(rest.config) | {"backbone": Tiny(), "steps": 3})
    rest.fit((IMAGES, LABELS), IMAGES, run=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(rest.predict_proba(IMAGES), whole.predict_proba(IMAGES))


def test_a_run_is_adapted_and_that_goes_on_too(run, tmp_path):
    adapter = DomainAdapter.from_pretrained(run, device="cpu", backbone=Tiny())
    adapter.adapt(IMAGES, run=tmp_path / "adapted", steps=2)
    again = DomainAdapter.from_run(tmp_path / "adapted", backbone=Tiny())
    again.adapt(IMAGES, run=tmp_path / "adapted", resume=True, steps=2)
    np.testing.assert_array_equal(again.predict_proba(IMAGES), adapter.predict_proba(IMAGES))


def test_without_the_module_a_run_says_how_to_give_it(run):
    with pytest.raises(OwnModuleError, match=r"a Tiny that was given as a module: .*backbone=MODU"):
        DomainAdapter.from_pretrained(run)
    with pytest.raises(OwnModuleError, match="was given as a module"):
        DomainAdapter.from_run(run)


def test_a_module_for_a_run_with_a_name_is_refused(tmp_path):
    DomainAdapter(**SMALL).fit((IMAGES, LABELS), IMAGES, run=tmp_path / "run")
    with pytest.raises(OwnModuleError, match="is digits_cnn, by name: leave out backbone="):
        DomainAdapter.from_pretrained(tmp_path / "run", backbone=Tiny())


def test_a_module_of_another_architecture_does_not_fit(run):
    other = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten())
    with pytest.raises(ValueError, match=r"does not fit its config.json"):
        DomainAdapter.from_pretrained(run, device="cpu", backbone=other)


@pytest.mark.parametrize(
    "words", ["predict RUN images", "evaluate RUN", "adapt RUN", "train --resume RUN --steps 4"]
)
def test_the_command_line_says_what_only_python_can_do(run, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    if words.startswith("train"):  # its domains were arrays, which would be said first
        content = json.loads((run / "config.json").read_text())
        content["training"] |= {"source": "digits", "target": "color_digits"}
        run = tmp_path / "named"
        run.mkdir()
        (run / "config.json").write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["dacbn", *words.replace("RUN", str(run)).split()])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and f"from_pretrained('{run}', backbone=MODULE)" in text


REFUSED = {
    "maps": (lambda: nn.Conv2d(3, 4, 3), {}, "add pooling"),
    "no normaliser": (
        lambda: nn.Flatten(),
        {"norm": "ucb_norm"},
        "no BatchNorm to replace.*norm None",
    ),
    "a site that is not there": (build, {"norm_sites": "layer9"}, "named like 'layer9'"),
    "a size": (lambda: nn.Sequential(build(), nn.Linear(3, 3)), {"image_size": 32}, "of 32 pixels"),
    "weights": (build, {"weights": "w.pth"}, "load them into it, and set pretrained=True"),
    "a number": (lambda: 5, {}, "must be a name or a torch module"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_serve_is_refused_at_construction(case):
    make, options, text = REFUSED[case]
    with pytest.raises(ValueError, match=text):
        DomainAdapter(make(), **options)


def test_pixel_statistics_are_settings(tmp_path):
    pixels = {"pixel_mean": (0.0, 0.1, 0.2), "pixel_std": (1.0, 0.9, 0.8)}
    adapter = DomainAdapter(build(), **SMALL, **pixels).fit(
        (IMAGES, LABELS), IMAGES, run=tmp_path / "run"
    )
    again = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu", backbone=Tiny())
    for network in (adapter.network, again.network):
        np.testing.assert_allclose(network.pixel_mean.flatten(), pixels["pixel_mean"])
        np.testing.assert_allclose(network.pixel_std.flatten(), pixels["pixel_std"])
    assert again.config.pixel_std == pixels["pixel_std"]
    with pytest.raises(ValueError, match="pixel_std must be a tuple, each positive and finite"):
        DomainAdapter(pixel_std=(1, 1, 0))
