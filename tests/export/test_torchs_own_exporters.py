"""torch's own exporters write a converted network right, without dacbn's command."""

import pytest
import torch

from dacbn.export.onnx_file import open_session
from dacbn.models import create_network

pytest.importorskip("onnxruntime", reason="needs pip install 'dacbn[onnx]'")
pytest.importorskip("onnxscript", reason="needs pip install 'dacbn[onnx]'")
pytestmark = [
    pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="needs torch 2.7"),
    # of what torch deprecates, and of sizes of maps in a trace, which are fixed
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
WAYS = {
    "traced": {"dynamo": False, "dynamic_axes": {"images": {0: "batch"}}},
    "recorded": {"dynamo": True, "dynamic_shapes": ({0: "batch"},)},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_converted_network_is_written_right(way, tmp_path):
    torch.manual_seed(0)
    backbone = create_network("digits_cnn", "ucb_norm", 3).backbone
    images, file = torch.rand(8, 3, 32, 32), str(tmp_path / "model.onnx")
    with torch.no_grad():
        backbone(images)
        expected = backbone.eval()(images)
        torch.onnx.export(
            backbone, (images[:2],), file, input_names=["images"], verbose=False, **WAYS[way]
        )
    (found,) = open_session(tmp_path / "model.onnx", threads=1)(images)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
