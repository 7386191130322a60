"""What a stream refuses, or gives a reason, instead of answering something else."""

import copy

import numpy as np
import pytest
import torch

from dacbn.adapter import DomainAdapter


@pytest.fixture(scope="module")
def trained(squares_adapter):
    return squares_adapter


def test_a_dictionary_of_images_is_refused(trained, target):
    with pytest.raises(ValueError, match="cannot take images from dict"):
        next(trained.stream({"images": target[0]}))


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_an_image_with_other_channels_is_one_that_cannot_be_read(trained, channels):
    arriving = [np.zeros((32, 32, channels), np.uint8), np.zeros((2, 32, 32), np.uint8)]
    (batch,) = trained.stream(iter(arriving))
    assert [each.reason is None for each in batch.answers] == [False, True, True]
    assert f"cannot read images of shape (1, 32, 32, {channels})" in batch.answers[0].reason


@pytest.mark.parametrize("size", [0, 2.5, "4"])
def test_a_batch_has_a_whole_number_of_images(trained, target, size):
    with pytest.raises(ValueError, match="batch_size must be at least 1, and whole, got"):
        trained.stream(target[0], batch_size=size)


def test_the_state_of_a_stream_through_another_network_is_refused(trained, target):
    stream = trained.stream(target[0], "tent", batch_size=9)
    list(stream)
    options = {"steps": 1, "source_batch_size": 6, "target_batch_size": 5, "device": "cpu"}
    other = DomainAdapter(norm="batch_norm", **options).fit(target, target[0])
    with pytest.raises(ValueError, match=r"the state is of a stream with network .* and this has"):
        other.stream(target[0], "tent", state=stream.state_dict())
    earlier = stream.state_dict()
    del earlier["about"]["network"]  # which states did not name at first
    other.stream(target[0], "tent", state=earlier)


def test_a_state_that_is_not_there_is_said_in_a_line(trained, target, tmp_path):
    with pytest.raises(ValueError, match=r"absent.pt cannot be read: No such file or directory: "):
        trained.stream(target[0], state=tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (["seen"], "5", "seen is wrong in this state of a stream"),
        (["rest"], None, "rest is wrong in this state of a stream"),
        (["about"], None, "about is wrong in this state of a stream"),
        (["about", "colour"], "red", "a stream with colour red, and this has None"),
        (["method"], [1], "method is wrong in this state of a stream"),
        (["method"], {}, "this is no state of the method"),
        (["method", "network"], None, "network is wrong in this state of the method"),
        (["method", "optimizer"], {}, "the saved state is of another network"),
        (["method", "mean"], torch.ones(3), "mean is wrong in this state of the method"),
        (["guard"], "on", "guard is wrong in this state of a stream"),
        (["guard", "colour"], 1, "this is no state of a guard"),
        (["guard", "adapted"], torch.ones(3), "adapted is wrong in this state of a guard"),
        (["more"], 1, "this is no state of a stream"),
    ],
)
def test_a_state_that_was_written_by_hand_is_refused_in_a_line(trained, target, place, value, told):
    stream = trained.stream(target[0], "roid", batch_size=9)
    next(stream)
    state = copy.deepcopy(stream.state_dict())
    part = state
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    with pytest.raises(ValueError, match=told) as caught:
        trained.stream(target[0], "roid", state=state)
    assert "\n" not in str(caught.value)


def test_a_guard_of_an_older_state_begins_its_longer_past_anew(trained, target):
    stream = trained.stream(target[0], "tent", batch_size=1)
    list(stream)
    older = stream.state_dict()
    for name in ("long_adapted", "long_source"):
        assert older["guard"].pop(name).sum() > 0
    gone_on = trained.stream(target[0], "tent", batch_size=1, state=older)
    assert gone_on.seen == 17 and len(list(gone_on)) == 17


@pytest.mark.parametrize("written", [b"", b"hello", b"\x80\x02", b"PK\x03\x04"])
def test_a_file_that_holds_no_state_is_refused_in_a_line(trained, target, tmp_path, written):
    (tmp_path / "state.pt").write_bytes(written)
    with pytest.raises(ValueError, match=r"state.pt is no saved state of a stream: give the file"):
        trained.stream(target[0], state=tmp_path / "state.pt")


def test_a_norm_by_domain_wants_to_know_the_domain(target):
    options = {"steps": 1, "source_batch_size": 6, "target_batch_size": 5, "device": "cpu"}
    adapter = DomainAdapter(norm="domain_specific_batch_norm", method="source_only", **options)
    adapter.fit([target, target], None)
    for given in ({"adapt": "tent"}, {"norm": "unmix_norm"}):
        with pytest.raises(ValueError, match="name it, instead of the average"):
            adapter.stream(target[0], **given)
        assert len(list(adapter.stream(target[0], domain=1, **given))) == 1
        with pytest.raises(ValueError, match="there is no domain 2: choose 0 to 1, or one of sour"):
            adapter.stream(target[0], domain=2, **given)
