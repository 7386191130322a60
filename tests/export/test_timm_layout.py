"""Exported to timm: models with plain BatchNorms that answer as the network does."""

import json

import pytest
import timm
import torch
from exported import CLASSES, SIZE, drawn_images, trained_adapter, trained_run
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from timm.utils.model import reparameterize_model
from torch import nn
from torch.fx.experimental.optimization import fuse

from dacbn import DomainAdapter, cli
from dacbn.datasets import to_float
from dacbn.export import timm_layout
from dacbn.models import digits_cnn

AFFINE = [
    *("auto_dial", "batch_norm", "context_batch_norm(prior_scale=True)", "kalman_norm"),
    *("domain_specific_batch_norm", "lp_batch_norm", "mean_only_batch_norm", "no_norm"),
    *("mixture_norm(num_clusters=1)", "scb_norm", "scb_norm_base", "trans_norm"),
    *("ucb_norm(num_clusters=1)", "mean_only_batch_norm + bounded_weight_norm"),
    "domain_specific_whitening(group_size=1)",
]
# With BatchNorms that hold activations, or with branches that timm joins.
BACKBONES = ["mobilenetv3_small_050", "repvgg_a0", "mobileone_s0"]
NEW = drawn_images(8, seed=1)


def made_by_timm(folder, name="test_resnet", num_classes=4):
    return timm.create_model(
        name, num_classes=num_classes, checkpoint_path=folder / "model.safetensors"
    ).eval()


def standardised(folder, images=NEW):
    about = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    mean, std = (torch.tensor(about[name])[:, None, None] for name in ("mean", "std"))
    return (to_float(torch.tensor(images).movedim(3, 1)) - mean) / std


def assert_alike(model, folder, adapter, domain=None, tolerance=1e-5):
    with torch.inference_mode():
        found = model(standardised(folder)).softmax(1)
    expected = torch.tensor(adapter.predict_proba(NEW, domain))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def adapter():
    return trained_adapter()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "timm"


@pytest.mark.parametrize("norm", AFFINE)
def test_affine_norms_become_batch_norms(norm, folder):
    adapter = trained_adapter(norm=norm)
    adapter.export(folder, "timm")
    model = made_by_timm(folder)
    assert_alike(model, folder, adapter)
    assert_alike(fuse(model), folder, adapter)
    adapter.export(folder.with_name("again"), "timm")  # the network is as it was


@pytest.mark.parametrize("domain", ["source", "target"])
def test_a_domain_is_chosen(domain, adapter, folder):
    adapter.export(folder, "timm", domain)
    assert_alike(made_by_timm(folder), folder, adapter, domain)
    other = "source" if domain == "target" else "target"
    away = adapter.predict_proba(NEW, domain) - adapter.predict_proba(NEW, other)
    assert abs(away).max() > 0.01


def test_statistics_re_estimated_on_the_target_are_exported(folder):
    adapter = trained_adapter(norm="batch_norm")
    before = adapter.predict_proba(NEW)
    adapter.recalibrate(drawn_images(16, seed=2) // 2).export(folder, "timm")
    assert_alike(made_by_timm(folder), folder, adapter)
    assert abs(adapter.predict_proba(NEW) - before).max() > 0.01


@pytest.mark.parametrize("name", BACKBONES)
def test_timms_own_idioms_work(name, folder):
    adapter = trained_adapter(name, "trans_norm")
    adapter = adapter.recalibrate(drawn_images(16, seed=2))
    with torch.no_grad():  # logits of some units: rounding of those of 1e6 changed whole answers
        adapter.network.classifier.weight /= max(1, abs(adapter.transform(NEW)).max())
    adapter.export(folder, "timm")
    model = made_by_timm(folder, name)
    assert_alike(model, folder, adapter)
    smaller = reparameterize_model(model)
    assert_alike(smaller, folder, adapter)
    if name != "mobilenetv3_small_050":
        before, after = (
            sum(isinstance(layer, nn.BatchNorm2d) for layer in each.modules())
            for each in (model, smaller)
        )
        assert after < before


def test_timm_reads_the_folder_and_images_as_the_network_does(adapter, folder, tmp_path):
    adapter.export(folder, "timm")
    weights, config = folder / "model.safetensors", folder / "config.json"
    assert weights.stat().st_mode == config.stat().st_mode  # not for its owner alone
    about = json.loads(config.read_text())
    assert about["label_names"] == list(CLASSES)
    assert "license" not in about["pretrained_cfg"]  # that of weights it did not start from
    try:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    except AssertionError:
        pytest.skip(f"timm {timm.__version__} reads no local folders")
    files = [tmp_path / f"{number}.png" for number in range(len(NEW))]
    for file, pixels in zip(files, NEW, strict=True):
        Image.fromarray(pixels).resize((50, 40)).save(file)
    transform = create_transform(**resolve_model_data_config(model, use_test_size=True))
    images = torch.stack([transform(Image.open(file)) for file in files])
    assert images.shape[2:] == (SIZE, SIZE)
    with torch.inference_mode():
        found = model(images).softmax(1)
    expected = torch.tensor(adapter.predict_proba(files))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_can_be_quantised(adapter, folder):
    from torch.ao.quantization import get_default_qconfig_mapping, quantize_dynamic
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    adapter.export(folder, "timm")
    model, images = made_by_timm(folder), standardised(folder)
    dynamic = quantize_dynamic(model, {nn.Linear}, torch.qint8)
    assert_alike(dynamic, folder, adapter, tolerance=0.02)
    prepared = prepare_fx(model, get_default_qconfig_mapping("x86"), (images,))
    with torch.inference_mode():
        prepared(images)
    static = convert_fx(prepared)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in static.modules())
    assert_alike(static, folder, adapter, tolerance=0.1)


def test_a_run_is_compared_on_its_own_images(tmp_path, capsys, monkeypatch):
    run, (_, phone) = trained_run(tmp_path)
    monkeypatch.setattr("sys.argv", ["dacbn", "export", str(run), "--format", "timm"])
    cli.main()
    printed = capsys.readouterr().out
    assert f"images of {phone}\n" in printed
    call = next(line for line in printed.splitlines() if line.startswith("timm.create_model("))
    model = eval(call, {"timm": timm}).eval()
    about = model.pretrained_cfg
    assert (about["input_size"], about["mean"]) == ((3, SIZE, SIZE), (0.5, 0.5, 0.5))
    assert_alike(model, run / "timm", DomainAdapter.from_pretrained(run))


def test_the_backbone_alone_gives_its_features(folder):
    adapter = trained_adapter(bottleneck=8)
    with pytest.raises(ValueError, match=r"no bottleneck.*format='timm\(head=False\)'"):
        adapter.export(folder, "timm")
    adapter.export(folder, "timm(head=False)")
    images = to_float(torch.tensor(NEW).movedim(3, 1))
    with torch.inference_mode():
        found = made_by_timm(folder, num_classes=0)(standardised(folder))
        expected = adapter.network.run_backbone(images, torch.ones(len(NEW)).long())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_an_affine_norm_of_the_images_becomes_their_standardisation(folder):
    adapter = trained_adapter(input_norm="domain_specific_batch_norm")
    adapter.export(folder, "timm")
    assert_alike(made_by_timm(folder), folder, adapter, tolerance=1e-4)
    adapter.network.backbone.input_norm.weight.data[1, 2] *= -1
    with pytest.raises(ValueError, match="turns pixels around"):
        adapter.export(folder.with_name("other"), "timm")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"norm": "ucb_norm(num_clusters=2)"}, r"conv1.1 \(UCBNorm\) assigns each value to comp"),
        ({"norm": "group_norm"}, "normalises each sample by its own moments, so in evaluation"),
        ({"norm": "self_normalizing"}, "changed other layers of the network"),
        ({"backbone": "digits_cnn"}, "timm has no digits_cnn: write another format"),
        ({"backbone": digits_cnn.DigitsCNN()}, "timm has no DigitsCNN: write another format"),
        ({"backbone": "repvit_m1", "norm": "no_norm"}, "no linear layer of these features: export"),
        pytest.param(
            {"backbone": "shvit_s1", "norm": "no_norm"},
            "has a layer head.bn that the network lacks",
            marks=pytest.mark.skipif(not timm.is_model("shvit_s1"), reason="not in this timm"),
        ),
        ({"classifier": (8,)}, "no classifier with hidden layers: export the backbone alone"),
        ({"classifier_temperature": 0.1}, "no classifier with a temperature"),
        ({"cluster_ids": "random"}, "random ids: only domain ids"),
        ({"input_norm": "instance_norm"}, r"input_norm \(InstanceNorm\) normalises each sample"),
        (
            {"backbone": "convnext_atto", "norm": "no_norm", "norm_replaces": "layer_norm"},
            "is another layer in timm's convnext_atto",
        ),
    ],
)
def test_what_timm_cannot_compute_is_refused(settings, reason, folder):
    with pytest.raises(ValueError, match=reason):
        trained_adapter(**settings).export(folder, "timm")
    assert not list(folder.parent.iterdir())


def test_answers_of_several_domains_are_refused(adapter, folder):
    several = trained_adapter()
    images, labels = drawn_images(), [*CLASSES] * 6
    several.fit([(images, labels), (255 - images, labels)], None)
    with pytest.raises(ValueError, match=r"statistics of one domain.*choose one of them"):
        several.export(folder, "timm", "average")
    several.export(folder, "timm", 1)


def test_what_differs_is_not_left_behind(adapter, folder, monkeypatch):
    monkeypatch.setattr(timm_layout, "FARTHEST", -1)
    with pytest.raises(ValueError, match=r"differs from the network by .* nothing was written"):
        adapter.export(folder, "timm")
    assert not list(folder.parent.iterdir())


def test_a_folder_that_holds_something_stays(adapter, folder):
    folder.mkdir()
    (folder / "config.json").touch()
    with pytest.raises(ValueError, match="is there already: delete it"):
        adapter.export(folder, "timm")
    assert (folder / "config.json").read_text() == ""
