"""What a stream refuses, or gives a reason, instead of answering something else."""

import numpy as np
import pytest

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
