#!/usr/bin/env bash
# Hugging Face's datasets and litdata store the file of a photograph in place of its edited pixels.
#
# A face is blackened in a JPEG that Pillow opened (`paste`, in place), or the JPEG is made smaller
# by `thumbnail`. The image is then put into a data set. Hugging Face's datasets stores the path
# of the file that it was opened from, and litdata the file's bytes: face and size are back when it is
# read. Expected: the pixels that were given. A copy (`image.copy()`) has no file, and is stored.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/first"
python3 -m venv "$work/second"
"$work/first/bin/pip" install --quiet "datasets==5.2.0" "pillow==13.0.0" "numpy==2.4.6"
"$work/second/bin/pip" install --quiet "litdata==0.2.76" "torch==2.14.1" "pillow==13.0.0" \
    "numpy==2.4.6"
cat > "$work/photograph.py" <<'PYTHON'
import sys

import numpy as np
from PIL import Image

FILE = f"{sys.argv[1]}/photograph.jpg"
Image.new("RGB", (64, 64), "white").save(FILE)


def blackened():
    image = Image.open(FILE)
    image.paste((0, 0, 0), (0, 0, 64, 64))
    return image


def smaller():
    image = Image.open(FILE)
    image.thumbnail((16, 16))
    return image


def report(name, store):
    brightness = [round(np.asarray(store(each)).mean()) for each in (blackened(), blackened().copy())]
    width = [store(each).size[0] for each in (smaller(), smaller().copy())]
    print(f"{name}: brightness {brightness[0]} (of a copy {brightness[1]}), width {width[0]} ({width[1]})")
    assert (brightness, width) == ([255, 0], [64, 16]), "this has changed"
PYTHON
cat > "$work/one.py" <<'PYTHON'
import datasets
from photograph import report

report(
    f"datasets {datasets.__version__}",
    lambda image: datasets.Dataset.from_dict({"image": [image]})[0]["image"],
)
PYTHON
cat > "$work/two.py" <<'PYTHON'
import io
from importlib.metadata import version

from litdata.streaming.serializers import JPEGSerializer
from photograph import report
from PIL import Image

report(
    f"litdata {version('litdata')}",
    lambda image: Image.open(io.BytesIO(JPEGSerializer().serialize(image)[0])),
)
PYTHON
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/first/bin/python" "$work/one.py" "$work"
"$work/second/bin/python" -W ignore "$work/two.py" "$work"
