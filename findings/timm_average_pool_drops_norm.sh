#!/usr/bin/env bash
# A vision transformer of timm with average pooling is one of two networks, and one of them lost its norm.
#
# Patches of a pretrained vision transformer are averaged by create_model(..., global_pool="avg"),
# or by model.reset_classifier(0, "avg") after it. The first puts the last LayerNorm behind the
# average, under another name, so that the pretrained one is left over ("this may be expected") and
# ones and zeros take its place; the second keeps the pretrained one, before the average. The
# features of the same images from the same file differ in size and direction, and a classifier that
# was trained on one kind meets the other in a script that uses the other way. Expected: the same
# features. fc_norm=False gives the second's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import tempfile

import timm
import torch

logging.getLogger("timm").setLevel(logging.ERROR)
print(f"timm {timm.__version__}, torch {torch.__version__}")
torch.manual_seed(0)
NAME, SIZE = "vit_tiny_patch16_224", 64
images = torch.randn(8, 3, SIZE, SIZE)
pretrained = timm.create_model(NAME, img_size=SIZE, num_classes=5)
torch.nn.init.uniform_(pretrained.norm.weight, 0.2, 3)  # a norm that has learned something
torch.nn.init.normal_(pretrained.norm.bias)
with tempfile.TemporaryDirectory() as folder:
    file = f"{folder}/weights.pth"
    torch.save(pretrained.state_dict(), file)

    def built(**options):
        overlay = {"file": file, "num_classes": 5}
        options = {"num_classes": 0, "img_size": SIZE, **options}
        return timm.create_model(
            NAME, pretrained=True, pretrained_cfg_overlay=overlay, **options
        ).eval()

    at_once = built(global_pool="avg")
    later = built()
    later.reset_classifier(0, "avg")
    told = built(global_pool="avg", fc_norm=False)
with torch.no_grad():
    features = {"at once": at_once(images), "by reset_classifier": later(images)}
    features["fc_norm=False"] = told(images)
for name, each in features.items():
    print(f"{name}: mean {each.mean():.3f}, deviation {each.std():.3f}")
likeness = torch.cosine_similarity(features["at once"], features["by reset_classifier"]).mean().item()
print(f"cosine of the features of both ways: {likeness:.2f}")
fresh = torch.equal(at_once.fc_norm.weight, torch.ones(192))
kept = torch.equal(later.norm.weight, pretrained.norm.weight)
print(
    f"weights of the last norm are ones: {fresh} (at once); the pretrained ones: {kept} (by reset_classifier)"
)
assert kept
assert torch.allclose(features["fc_norm=False"], features["by reset_classifier"], atol=1e-5)
assert fresh and likeness < 0.9, "this has changed"
PYTHON
