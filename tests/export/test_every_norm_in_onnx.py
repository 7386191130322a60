"""Every norm, in evaluation, is plain operators in ONNX, for any number of images."""

import pytest
import torch
from torch import nn

from dacbn.export.onnx_file import open_session, translate
from dacbn.norms import norms, share_context

pytest.importorskip("onnxruntime", reason="needs pip install 'dacbn[onnx]'")
pytest.importorskip("onnxscript", reason="needs pip install 'dacbn[onnx]'")
pytestmark = pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="needs torch 2.7"
)
IN_NO_FILE = {"random_gate_norm"}  # it reads the bits of numbers
OPTIONS = {
    "ucb_norm": [
        {"num_clusters": 1},
        {"num_clusters": 2},
        {"update": "learned"},
        {"update": "hybrid", "prior_scale": True},
        {"assign": "position"},
        {"assign": "sample"},
    ],
    "frozen_gate_norm": [{"assign": "sample"}],
    "mixture_norm": [{"prior_scale": False}],
    "group_norm": [{"affine": False}],
}
CASES = [(name, options) for name in norms for options in ({}, *OPTIONS.get(name, []))]
CASES = [case for case in CASES if case[0] not in IN_NO_FILE]
PARTS = 6  # one file for many layers, because the exporter is slow to start


class Layers(nn.Module):
    """Layers side by side, on activations (B, 4) and (B, 4, 5, 3), of domain 1."""

    def __init__(self, cases):
        super().__init__()
        self.flat = nn.ModuleList(norms[name](4, **options) for name, options in cases)
        self.maps = nn.ModuleList(norms[name](4, **options) for name, options in cases)
        self.context = share_context(self)

    def forward(self, images):  # noqa: D102
        flat, maps = images[:, :, 0, 0], images
        with self.context.bind(images.new_ones(images.shape[:1], dtype=torch.int64)):
            outputs = [layer(flat) for layer in self.flat]
            return outputs + [layer(maps) for layer in self.maps]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_norm_answers_alike_in_onnxruntime(part, tmp_path):
    cases = CASES[part::PARTS]
    torch.manual_seed(0)
    layers = Layers(cases)
    for _ in range(3):
        layers(torch.randn(8, 4, 5, 3) * 2 + 1)
    layers.eval()
    x = torch.randn(9, 4, 5, 3) * 2 + 1
    sizes = ({0: torch.export.Dim("batch")},)
    names = tuple(f"{number}" for number in range(2 * len(cases)))
    with torch.no_grad():
        program = torch.export.export(layers, (x[:2],), dynamic_shapes=sizes)
        translate(program, names).save(tmp_path / "layers.onnx")
        answer = open_session(tmp_path / "layers.onnx", threads=1)
        for count in (1, 2, 7):
            found = zip([*cases, *cases], answer(x[:count]), layers(x[:count]), strict=True)
            for case, ours, expected in found:
                torch.testing.assert_close(
                    ours,
                    expected,
                    atol=2e-5,
                    rtol=1e-5,
                    msg=lambda text, case=case: f"{case}: {text}",
                )
