#!/usr/bin/env bash
# torch.onnx.export writes a file for one number of images where a dynamic one was asked for.
#
# A module that calls len(x) fixes the size of the batch. torch.export.export, asked for a dynamic
# batch by a Dim, raises ("Constraints violated"). torch.onnx.export, asked for the same by the same
# argument, returns a model whose input has the size of the example, without an error; onnxruntime
# then refuses every other number of images. Given the name "batch" in place of the Dim, it returns a
# model of any size. Who wants to be sure exports by torch.export.export first, and hands the program
# to torch.onnx.export.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6" "onnx==1.23.2" "onnxscript==0.7.2"
"$work/venv/bin/python" - <<'PYTHON'
import onnxscript
import torch
from torch.export import Dim


class Share(torch.nn.Module):
    def forward(self, x):
        return x / len(x)


print(f"torch {torch.__version__}, onnxscript {onnxscript.__version__}")
example, model = (torch.ones(2, 3),), Share().eval()
try:
    torch.export.export(model, example, dynamic_shapes=({0: Dim("batch")},))
    raised = ""
except Exception as error:
    raised = str(error).splitlines()[0]
print(f"torch.export.export: {raised}")
found = {}
for asked in (Dim("batch"), "batch"):
    program = torch.onnx.export(model, example, dynamo=True, dynamic_shapes=({0: asked},), verbose=False)
    (given,) = program.model_proto.graph.input
    sizes = given.type.tensor_type.shape.dim
    found[str(asked)] = [each.dim_param or each.dim_value for each in sizes]
    print(f"torch.onnx.export asked for {asked!r}: an input of {found[str(asked)]}")
assert raised.startswith("Constraints violated"), "this has changed"
assert list(found.values()) == [[2, 3], ["batch", 3]], "this has changed"
PYTHON
