#!/usr/bin/env bash
# transformers resizes images for a timm network to the size in its file, whatever size was asked for.
#
# AutoImageProcessor.from_pretrained(folder, size=..., image_mean=...) prepares images for a
# fine-tuning at another size, for example. A ViT of transformers' own obeys. For a saved network of
# timm the same call is accepted, and so is a setting that nobody knows, and all of them are
# forgotten: images have the size and mean of the file, and no warning tells it. Expected: the
# settings in effect, or the TypeError that the processor raises when it is given them together with
# an image. A processor built from a changed pretrained_cfg, {..., "input_size": (3, 96, 96)}, has
# them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" \
    "numpy==2.4.6" "pillow==13.0.0" "transformers==5.23.0"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PYTHON'
import tempfile

import timm
import torch
import transformers
from PIL import Image
from transformers import (
    AutoImageProcessor,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

transformers.logging.set_verbosity_error()
print(f"transformers {transformers.__version__}, timm {timm.__version__}, torch {torch.__version__}")
ASKED = {"size": {"height": 96, "width": 96}, "image_mean": [0.2, 0.2, 0.2]}
image = Image.new("RGB", (300, 300), (51, 51, 51))


def told(processor):
    pixels = processor(image, return_tensors="pt")["pixel_values"]
    return pixels.shape[-1], round(pixels.mean().item(), 3)


found = {}
with tempfile.TemporaryDirectory() as folder:
    config = ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ViTForImageClassification(config).save_pretrained(f"{folder}/vit")
    ViTImageProcessor().save_pretrained(f"{folder}/vit")
    settings = timm.get_pretrained_cfg("tf_efficientnet_lite0").to_dict()
    config = TimmWrapperConfig(
        architecture="tf_efficientnet_lite0", num_labels=5, pretrained_cfg=settings
    )
    TimmWrapperForImageClassification(config).save_pretrained(f"{folder}/timm")
    for name in ("vit", "timm"):
        processor = AutoImageProcessor.from_pretrained(f"{folder}/{name}", **ASKED)
        found[name] = told(processor)
        print(f"{name}, {type(processor).__name__}: {found[name][0]} pixels, grey at {found[name][1]}")
    AutoImageProcessor.from_pretrained(f"{folder}/timm", sise=96)  # nobody knows this one
    try:
        processor(image, **ASKED)
        direct = "accepted"
    except TypeError:
        direct = "TypeError"
    print(f"timm, given with the image: {direct}")
    changed = {**settings, "input_size": (3, 96, 96)}
    processor = type(processor)(pretrained_cfg=changed)
    print(f"timm, built from another pretrained_cfg: {told(processor)[0]} pixels")
    assert told(processor)[0] == 96 and direct == "TypeError"
assert found["vit"] == (96, 0)
assert found["timm"] == (224, -0.6), "this has changed"
PYTHON
