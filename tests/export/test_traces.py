"""Networks recorded by torch.jit answer as they did, or are refused in words."""

import io

import pytest
import torch

from dacbn.models import create_network
from dacbn.norms import norms, share_context
from dacbn.norms.contract import Need

REFUSED = {"random_gate_norm": "bits of numbers"}


@pytest.mark.parametrize("name", list(norms))
@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of sizes of maps, which are fixed
def test_a_saved_trace_answers_alike_for_any_batch(name):
    torch.manual_seed(0)
    layer = norms[name](4)
    context = share_context(layer)

    def run(x):
        with context.bind(torch.ones(x.shape[:1], dtype=torch.int64)):
            return layer(x)

    with torch.no_grad():
        for _ in range(3):
            run(torch.randn(8, 4, 5, 3) * 2 + 1)
        layer.eval()
        if name in REFUSED or Need.CLUSTER_IDS in layer.needs:
            with pytest.raises(RuntimeError, match=REFUSED.get(name, "needs cluster ids")):
                torch.jit.trace(layer, torch.randn(4, 4, 5, 3))
            return
        kept = io.BytesIO()
        torch.jit.save(torch.jit.trace(layer, torch.randn(4, 4, 5, 3)), kept)
        kept.seek(0)
        loaded = torch.jit.load(kept)
        for count in (1, 4, 7):
            x = torch.randn(count, 4, 5, 3) * 2 + 1
            torch.testing.assert_close(loaded(x), run(x), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_scripts_are_refused_with_the_cure():
    network = create_network("digits_cnn", "ucb_norm", 3).eval()
    with pytest.raises(RuntimeError, match=r"torch\.jit\.trace"):
        torch.jit.script(network.backbone)
