"""The blur of augmentations is torchvision's."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from dacbn.datasets.transforms import _blur


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_blur_is_that_of_torchvision(dtype):
    images = torch.rand(4, 3, 16, 16, dtype=dtype)
    assert torch.equal(_blur(images), tv.gaussian_blur(images, [5, 5], [1.2, 1.2]))
