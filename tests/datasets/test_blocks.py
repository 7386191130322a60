"""Files that are decoded in blocks are those that are decoded at once."""

import pytest
import torch

from dacbn.datasets.blocks import read_blocks
from dacbn.datasets.many_files import decode_each


@pytest.mark.parametrize("ahead", [False, True])
def test_blocks_hold_the_readable_files_in_order(files, monkeypatch, ahead):
    monkeypatch.setattr("dacbn.datasets.blocks.BLOCK", 4)
    for broken in (0, 1, 2, 3, 7):
        files[broken].write_bytes(b"no image")
    with pytest.warns(match="5 images are unreadable"):
        reasons, pixels = decode_each(files, 32, keep=True)
    found = list(read_blocks(files, 32, ahead=ahead))
    assert [len(outcomes) for _, outcomes in found] == [4, 3, 3] and len(found[0][0]) == 0
    assert torch.equal(torch.cat([each for each, _ in found]), pixels)
    outcomes = [each for _, part in found for each in part]
    assert [each if isinstance(each, str) else None for each in outcomes] == reasons


def test_no_files_are_no_images():
    ((pixels, outcomes),) = read_blocks([], 32)
    assert pixels.shape == (0, 3, 32, 32) and outcomes == []
