#!/usr/bin/env bash
# A map of Hugging Face's datasets that looks at a photograph compresses it again, harder.
#
# Dataset.map decodes an image when its function reads it, and from then on stores the decoded one:
# as a JPEG of Pillow's default quality 75, whatever it had, though the function returned nothing
# but the image's size. Here the file halves, and each further map loses more. Expected: the
# bytes that were there, as they stay if the function reads other columns only. With
# cast_column("image", Image(decode=False)) during the map they stay, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "datasets==5.2.0" "pillow==13.0.0" "numpy==2.4.6"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" - <<'PYTHON'
import io

import datasets
import numpy as np
from PIL import Image

print(f"datasets {datasets.__version__}")
datasets.disable_progress_bars()
colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
file = io.BytesIO()
Image.fromarray(colours).resize((256, 256)).save(file, "JPEG", quality=95)
jpeg = file.getvalue()
data = datasets.Dataset.from_dict(
    {"image": [{"bytes": jpeg, "path": None}]},
    features=datasets.Features(image=datasets.Image()),
)


def reads_nothing(row):
    return {"source": True}


def reads_size(row):
    return {"size": row["image"].size}


def reads_bytes(row):
    return {"size": Image.open(io.BytesIO(row["image"]["bytes"])).size}


def report(name, data):
    stored = data.with_format("arrow")[0]["image"][0].as_py()["bytes"]
    pixels = np.asarray(Image.open(io.BytesIO(stored))).astype(int)
    error = np.abs(pixels - np.asarray(Image.open(io.BytesIO(jpeg)))).mean()
    print(f"{name}: {len(stored)} of {len(jpeg)} bytes, pixels differ by {error:.1f} of 255 on average")
    return error


kept = report("a map that reads no image", data.map(reads_nothing))
once = data.map(reads_size)
errors = [report("a map that reads the image's size", once)]
thrice = once.map(reads_size, load_from_cache_file=False)
errors.append(report("three of them", thrice.map(reads_size, load_from_cache_file=False)))
undecoded = data.cast_column("image", datasets.Image(decode=False)).map(reads_bytes)
cured = report("a map of images that are not decoded", undecoded)
assert kept == cured == 0 and 5 < errors[0] < errors[1], "this has changed"
PYTHON
