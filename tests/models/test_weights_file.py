"""Files of weights as people have them: what is taken from them, and what is refused."""

import json
import pickle
import re

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dacbn.models import PretrainedWeightsError, create_backbone
from dacbn.models.backbones import pixel_statistics
from dacbn.models.weights_file import find_weights, hash_weights, load_weights_file

NAME = "test_resnet"  # timm's smallest


def build(name=NAME, seed=1, **options):
    """Build a network with weights and statistics of its own, in evaluation mode."""
    torch.manual_seed(seed)
    model = timm.create_model(name, **options)
    for _, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return build(num_classes=7)


def features_of(model, images):
    """Return what comes before the classifier, with timm's own functions."""
    with torch.no_grad():
        return model.forward_head(model.forward_features(images), pre_logits=True)


def prefixed(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def zeros_of(tensors):
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


# What a .pth file holds, given the right tensors and others of the same names and shapes.
HELD = {
    "the tensors": lambda right, _: right,
    "a state_dict": lambda right, _: {"state_dict": right, "epoch": 3},
    "a model": lambda right, _: {"model": right, "optimizer": {"state": {0: torch.zeros(2)}}},
    "an average": lambda right, wrong: {"state_dict": wrong, "state_dict_ema": right},
    "DataParallel": lambda right, _: {"state_dict": prefixed("module.", right)},
    "torch.compile": lambda right, _: prefixed("_orig_mod.", right),
    "a part": lambda right, _: {**prefixed("backbone.", right), "neck.weight": torch.ones(3)},
    "MoCo": lambda right, wrong: {
        "state_dict": prefixed("module.encoder_q.", right)
        | prefixed("module.encoder_k.", wrong)
        | {"module.queue": torch.zeros(4)}
    },
    "a student before its teacher": lambda right, wrong: {
        "student": prefixed("module.backbone.", wrong),
        "teacher": prefixed("backbone.", right),
    },
    "an average in the names": lambda right, wrong: {
        **prefixed("net.", wrong),
        **prefixed("ema_net.", right),
    },
}


@pytest.mark.parametrize("held", HELD)
def test_tensors_are_found_under_the_names_that_people_have(model, tmp_path, held):
    right = model.state_dict()
    torch.save(HELD[held](right, zeros_of(right)), tmp_path / "w.pth")
    backbone, images = (
        create_backbone(NAME, weights=str(tmp_path / "w.pth")),
        torch.rand(2, 3, 64, 64),
    )
    assert torch.equal(backbone.eval()(images), features_of(model, images))


@pytest.mark.parametrize("num_classes", [0, 7, 1000])
def test_the_classifier_may_have_any_number_of_classes(tmp_path, num_classes):
    model, images = build(num_classes=num_classes), torch.rand(2, 3, 64, 64)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    backbone = create_backbone(NAME, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(backbone.eval()(images), features_of(model, images))


def test_the_report_counts_what_was_taken_and_names_what_was_left_out(model, tmp_path):
    tensors = {**prefixed("net.", model.state_dict()), "queue": torch.zeros(3)}
    save_file(tensors, tmp_path / "w.safetensors")
    backbone = timm.create_model(NAME, num_classes=0)
    report = load_weights_file(backbone, NAME, str(tmp_path / "w.safetensors"))
    assert report.taken == len(backbone.state_dict()) == len(model.state_dict()) - 2
    assert str(report) == (
        f"{report.taken} tensors of the backbone taken from {tmp_path / 'w.safetensors'}, under "
        "'net.'; its classifier is left out: fc.bias, fc.weight; other parts are left out: queue"
    )


def test_a_classifier_with_a_norm_of_its_own_is_left_out(tmp_path):
    """LeViT normalises in its classifier, which timm's description names in part."""
    model = build("levit_128s")
    torch.save(model.state_dict(), tmp_path / "w.pth")
    report = load_weights_file(
        timm.create_model("levit_128s", num_classes=0), "levit_128s", str(tmp_path / "w.pth")
    )
    assert {name.partition(".")[0] for name in report.head} == {"head", "head_dist"}


def test_positions_are_resampled_as_timm_does_it(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(build("test_vit", img_size=96).state_dict(), path)
    overlay = {"file": str(path)}
    expected = timm.create_model("test_vit", True, pretrained_cfg_overlay=overlay, num_classes=0)
    found = create_backbone("test_vit", weights=str(path)).state_dict()
    assert torch.load(path)["pos_embed"].shape != found["pos_embed"].shape
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found[name], tensor), name


def test_files_without_a_count_of_batches_are_complete(model, tmp_path):
    tensors = {n: t for n, t in model.state_dict().items() if not n.endswith("batches_tracked")}
    assert len(tensors) < len(model.state_dict())
    torch.save(tensors, tmp_path / "w.pth")
    create_backbone(NAME, weights=str(tmp_path / "w.pth"))


def test_all_that_does_not_fit_is_listed(model, tmp_path):
    tensors = model.state_dict()
    del tensors["conv1.0.weight"], tensors["bn1.bias"]
    tensors["bn1.weight"] = torch.ones(5)
    tensors["layer1.0.extra"] = torch.ones(5)
    tensors["bn1.running_mean"] = torch.full_like(tensors["bn1.running_mean"], torch.nan)
    torch.save(tensors, tmp_path / "w.pth")
    before = {name: tensor.clone() for name, tensor in build(num_classes=0).state_dict().items()}
    backbone = build(num_classes=0)
    with pytest.raises(PretrainedWeightsError) as caught:
        load_weights_file(backbone, NAME, str(tmp_path / "w.pth"))
    width = len(before["bn1.weight"])
    assert str(caught.value) == (
        f"{tmp_path / 'w.pth'} does not fit {NAME}: 2 missing (conv1.0.weight, bn1.bias); "
        "1 unexpected (layer1.0.extra); "
        f"1 of another shape (bn1.weight (5,), not ({width},)); "
        "1 NaN or infinite (bn1.running_mean). Choose the backbone that wrote it, or in Python "
        "give DomainAdapter the module itself"
    )
    assert all(torch.equal(tensor, before[n]) for n, tensor in backbone.state_dict().items())


def test_what_is_outside_of_the_prefix_is_listed_where_the_rest_does_not_fit(model, tmp_path):
    tensors = {"0.weight": torch.ones(1), **prefixed("net.", model.state_dict())}
    del tensors["net.bn1.bias"]
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(
        PretrainedWeightsError, match=r"bn1.bias\); 1 not under 'net.' \(0.weight\)"
    ):
        create_backbone(NAME, weights=str(tmp_path / "w.pth"))


def test_the_names_of_old_files_of_torchvision_are_translated(tmp_path):
    """Its DenseNets are published with the names norm.1 and conv.1 of layers in a block."""
    small = {"growth_rate": 4, "block_config": (1, 1), "num_classes": 0}
    model, backbone = (timm.models.densenet.DenseNet(**small) for _ in range(2))
    tensors = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))", r"\1.", name): tensor
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(tensors, tmp_path / "w.pth")
    load_weights_file(backbone, "densenet121", str(tmp_path / "w.pth"))
    assert all(torch.equal(t, backbone.state_dict()[n]) for n, t in model.state_dict().items())


def test_a_score_that_numpy_averaged_is_no_code(tmp_path, model):
    """Torch 2.14 refuses NumPy's scalars as code, and checkpoints hold their best score."""
    saved = {"state_dict": model.state_dict(), "best": np.mean([0.5, 1]), "epoch": np.int64(3)}
    torch.save(saved, tmp_path / "w.pth")
    backbone = create_backbone(NAME, weights=str(tmp_path / "w.pth"))
    assert torch.equal(backbone.state_dict()["conv1.0.weight"], model.conv1[0].weight)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({"state_dict": {}, "trap": Trap(tmp_path / "sprung")}, tmp_path / "w.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for name in ("w.pth", "old.pth"):
        with pytest.raises(PretrainedWeightsError, match=r"state_dict\(\), FILE\) writes"):
            create_backbone(NAME, weights=str(tmp_path / name))
    assert not (tmp_path / "sprung").exists()


def test_a_saved_module_is_refused_with_the_line_that_saves_its_weights(tmp_path):
    torch.save(build(), tmp_path / "w.pth")
    with pytest.raises(
        PretrainedWeightsError, match=r"holds code, which is not run\): give a .saf"
    ):
        create_backbone(NAME, weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"\x00" * 100])
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PretrainedWeightsError, match=f"cannot read weights from .*{name}"):
        create_backbone(NAME, weights=str(tmp_path / name))


def test_a_page_that_was_saved_as_a_file_holds_no_code(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(PretrainedWeightsError, match=r"\(torch.save did not write it\)"):
        create_backbone(NAME, weights=str(tmp_path / "w.pth"))


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"state_dict": {}, "epoch": 1}, tmp_path / "w.pth")
    with pytest.raises(PretrainedWeightsError, match="holds no tensors"):
        create_backbone(NAME, weights=str(tmp_path / "w.pth"))


def test_missing_files_and_empty_folders_say_what_to_give(tmp_path):
    with pytest.raises(PretrainedWeightsError, match=r"no file of weights nowhere.pth: give a"):
        find_weights("nowhere.pth")
    with pytest.raises(PretrainedWeightsError, match=r"has no model.safetensors or pytorch_model"):
        find_weights(f"local-dir:{tmp_path}")


@pytest.fixture
def folder(tmp_path, model):
    """A folder in the layout of timm and of the Hugging Face hub."""
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    about = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear"}
    content = {"architecture": NAME, "num_classes": 7, "pretrained_cfg": about}
    (tmp_path / "config.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize("prefix", ["", "local-dir:"])
def test_a_folder_that_timm_saved_brings_its_pixel_statistics(folder, model, prefix):
    backbone, images = create_backbone(NAME, weights=f"{prefix}{folder}"), torch.rand(2, 3, 64, 64)
    assert torch.equal(backbone.eval()(images), features_of(model, images))
    assert pixel_statistics(backbone) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert pixel_statistics(create_backbone(NAME))[0] != (0.1, 0.2, 0.3)


def test_a_folder_of_another_network_names_it(folder):
    with pytest.raises(
        PretrainedWeightsError, match=f"a {NAME}, not a resnet18: choose the .* {NAME}"
    ):
        create_backbone("resnet18", weights=str(folder))


def test_a_folder_that_builds_another_variant_is_refused(folder):
    content = json.loads((folder / "config.json").read_text())
    usual = {"num_classes": 7, "in_chans": 3, "global_pool": "avg"}  # timm 1.0.31 writes them
    (folder / "config.json").write_text(json.dumps(content | {"model_args": usual}))
    create_backbone(NAME, weights=str(folder))
    (folder / "config.json").write_text(
        json.dumps(content | {"model_args": {**usual, "drop_rate": 0.5}})
    )
    with pytest.raises(
        PretrainedWeightsError, match=r"options \(drop_rate\).*give DomainAdapter the module"
    ):
        create_backbone(NAME, weights=str(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(PretrainedWeightsError, match=r"cannot read .*config\.json"):
        create_backbone(NAME, weights=str(folder))


def test_another_file_than_before_is_noticed(folder):
    digest = hash_weights(f"local-dir:{folder}")
    assert digest == hash_weights(str(folder / "model.safetensors"))
    create_backbone(NAME, weights=str(folder), weights_sha256=digest)
    save_file(build(num_classes=7, seed=2).state_dict(), folder / "model.safetensors")
    with pytest.raises(PretrainedWeightsError, match=f"not the file .* SHA-256 is {digest}"):
        create_backbone(NAME, weights=str(folder), weights_sha256=digest)


def test_a_folder_named_as_a_backbone_says_where_it_belongs():
    with pytest.raises(ValueError, match="give its name as backbone, and local-dir:x as weights"):
        create_backbone("local-dir:x")
