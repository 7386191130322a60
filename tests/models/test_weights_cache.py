"""Pretrained weights without a network: caches are used, and what is not there fails soon."""

import re
import socket
import time
from pathlib import Path
from threading import Event

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from dacbn.models import PretrainedWeightsError, create_backbone
from dacbn.models.backbones import pixel_statistics

NAME = "test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Empty caches, and no proxy; the hub's library reads its variables when it is imported."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """Refuse every connection; list the addresses that were asked."""
    addresses = []

    def refuse(address, *_):
        addresses.append(address)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return addresses


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    return timm.create_model(NAME).eval()


def save(model, path):
    path.parent.mkdir(parents=True)
    if path.suffix == ".safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)


def failure(name=NAME):
    """Return the message, and the seconds until it came."""
    started = time.perf_counter()
    with pytest.raises(PretrainedWeightsError) as caught:
        create_backbone(name, pretrained=True)
    return str(caught.value), time.perf_counter() - started


def same(backbone, model):
    expected = model.state_dict()
    return all(torch.equal(t, expected[name]) for name, t in backbone.state_dict().items())


def test_without_a_network_one_attempt_says_which_file_to_place(asked, model, caches):
    """By themselves, timm 1.0.31 and huggingface_hub 2.4.0 try twelve times, for 47 seconds."""
    text, seconds = failure()
    assert seconds < 5 and asked == [("huggingface.co", 443)]
    page = "https://huggingface.co/timm/test_resnet.r160_in1k"
    assert text.startswith(
        f"cannot download the pretrained weights of {NAME} (huggingface.co: Network is "
        f"unreachable): copy model.safetensors from {page} to {caches / 'hub'}"
    )
    assert text.endswith(", or give a file with weights, or train without pretrained=True")
    save(model, Path(re.search(r" to (\S+\.safetensors),", text)[1]))
    assert same(create_backbone(NAME, pretrained=True), model) and len(asked) == 1


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_cached_file_is_used_without_asking_the_network(asked, model, caches, file):
    """hf_hub_download asks the network for a newer file, also where it has one."""
    folder = caches / "hub" / "models--timm--test_resnet.r160_in1k"
    save(model, folder / "snapshots" / "abc" / file)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    assert same(create_backbone(NAME, pretrained=True), model)
    assert same(create_backbone("test_resnet", pretrained="cached"), model)
    assert not asked


def test_the_place_named_is_in_the_snapshot_that_the_cache_refers_to(asked, model, caches):
    refs = caches / "hub" / "models--timm--test_resnet.r160_in1k" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("abc")
    save(model, Path(re.search(r" to (\S+\.safetensors),", failure()[0])[1]))
    assert same(create_backbone(NAME, pretrained=True), model) and len(asked) == 1


def test_a_network_that_does_not_answer_is_given_up_within_a_second_or_so(monkeypatch):
    over = Event()

    def wait(*_):
        over.wait()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", wait)
    text, seconds = failure()
    over.set()
    assert seconds < 5 and "(huggingface.co does not answer)" in text


def test_the_hubs_offline_mode_asks_nobody(asked, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "(HF_HUB_OFFLINE is set)" in failure()[0] and not asked


def test_behind_a_proxy_the_proxy_is_asked(asked, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert "proxy.example: Network is unreachable" in failure()[0]
    assert asked == [("proxy.example", 3128)]


def test_weights_at_an_address_are_looked_for_in_torchs_cache(asked, model, monkeypatch):
    about = timm.get_pretrained_cfg(NAME)
    about.hf_hub_id, about.url = None, "https://example.org/files/tiny-abc.pth"
    monkeypatch.setattr("timm.get_pretrained_cfg", lambda _: about)
    text, _ = failure()
    assert asked == [("example.org", 443)]
    assert "copy tiny-abc.pth from https://example.org/files/tiny-abc.pth to" in text
    save(model, Path(re.search(r" to (\S+\.pth),", text)[1]))
    assert same(create_backbone(NAME, pretrained=True), model) and len(asked) == 1


def test_only_the_cache_is_asked_where_nothing_may_be_downloaded(asked):
    with pytest.raises(PretrainedWeightsError, match="are not on this machine"):
        create_backbone(NAME, pretrained="cached")
    assert not asked


def test_a_damaged_file_in_the_cache_is_to_be_deleted(asked, caches):
    path = caches / "hub/models--timm--test_resnet.r160_in1k/snapshots/main/model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut")
    assert f"delete {path}" in failure()[0]


def test_a_network_without_weights_says_so(asked):
    name = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    assert failure(name)[0].startswith(f"timm has no pretrained weights of {name}: give a file")
    assert not asked


def test_a_download_that_fails_half_way_has_the_same_cure(monkeypatch):
    def fail(*_, **__):
        raise OSError("connection lost")

    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    monkeypatch.setattr(timm, "create_model", fail)
    assert re.search(rf"of {NAME} \(OSError\): copy model.safe.* with weights", failure()[0])


def test_a_tag_decides_the_pixel_statistics():
    assert pixel_statistics(create_backbone("resnet18.a1_in1k"))[0] == (0.485, 0.456, 0.406)
    assert pixel_statistics(create_backbone("vit_tiny_patch16_224.augreg_in21k"))[0] == (0.5,) * 3
