"""Source-only training with smoothed labels."""

import numpy as np
import pytest
from discrepancy_reference import softmax
from flat_network import flat_batch, flat_network

from dacbn.methods import SourceOnly


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_a_share_of_each_label_goes_to_all_classes(smoothing):
    method, batch = SourceOnly(flat_network(), label_smoothing=smoothing), flat_batch()
    p = softmax(method.network(batch.source_images).logits)
    wanted = (1 - smoothing) * np.eye(3)[batch.source_labels] + smoothing / 3
    loss = method(batch, 0.0).losses["classification"].item()
    assert loss == pytest.approx(-(wanted * np.log(p)).sum(1).mean(), rel=1e-5)
