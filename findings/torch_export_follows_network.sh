#!/usr/bin/env bash
# A network that torch has exported goes on changing with the one that it was made from.
#
# torch.export.export and torch.onnx.export return a program to run or to save. Whoever
# exports the best network so far, or the source's, and then trains or adapts on, has no copy: the
# program reads the network's own weights and running statistics, also in the module that it gives, and
# saves what these are at that time. A program of ONNX is worse: BatchNorms were folded into the
# convolutions when it was made, and the other layers follow, so that the file mixes old and
# new weights, and is a network that never was. Nothing is said. Expected: what was exported. Saving at once,
# or exporting copy.deepcopy(model), gives it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6" "onnx==1.23.2" \
    "onnxscript==0.7.2" "onnxruntime==1.32.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import tempfile

import onnxruntime
import torch
from torch import nn

print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}")
torch.manual_seed(0)
images = torch.randn(4, 3, 16, 16)
model = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
)
model.append(nn.Linear(8, 2)).eval()


def loaded(save, suffix, load):
    with tempfile.TemporaryDirectory() as folder:
        save(f"{folder}/model{suffix}")
        return load(f"{folder}/model{suffix}")


def by_torch(path):
    return torch.export.load(path).module()(images)


def by_onnx(path):
    session = onnxruntime.InferenceSession(path)
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images.numpy()})[0])


with torch.no_grad():
    program = torch.export.export(model, (images,))
    module = program.module()
    onnx_program = torch.onnx.export(model, (images,), dynamo=True, verbose=False)
    old = model(images)
    assert torch.allclose(loaded(onnx_program.save, ".onnx", by_onnx), old, atol=1e-4)  # at once: right
    model.train()
    for _ in range(50):  # as if adapted: other statistics, another last layer
        model(images * 2 + 3)
    model[5].weight.mul_(3)
    model.eval()
    new = model(images)
    answers = {
        "module of torch.export": module(images),
        "file of torch.export": loaded(lambda path: torch.export.save(program, path), ".pt2", by_torch),
        "file of torch.onnx.export": loaded(onnx_program.save, ".onnx", by_onnx),
    }
print(f"network when exported: {old[0].tolist()}; afterwards: {new[0].tolist()}")
same = {}
for name, answer in answers.items():
    same[name] = [torch.allclose(answer, each, atol=1e-4) for each in (old, new)]
    print(f"{name}: {answer[0].tolist()}; as exported, as afterwards: {same[name]}")
assert [*same.values()] == [[False, True], [False, True], [False, False]], "this has changed"
PYTHON
