#!/usr/bin/env bash
# Hugging Face's class_encode_column gives classes that are numbers other numbers.
#
# class_encode_column("label") makes a column of classes, as train_test_split asks for to keep the classes'
# shares. Of labels 0 to 11 one expects the same numbers, and the type is the only change. They are
# turned into text, sorted as text, and numbered anew: 2 becomes 4, and 10 becomes 2. The order depends
# on the numbers that are there: of VisDA's 12 classes as source and ten of them as target, the same
# class has two numbers, and a network that is right on all images of the target has an accuracy of
# 20 %. Nothing is said. Expected: the numbers, as cast_column("label", ClassLabel(num_classes=12))
# keeps them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "datasets==5.2.0" "numpy==2.4.6"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PYTHON'
import datasets

print(f"datasets {datasets.__version__}")
datasets.disable_progress_bars()


def encode(numbers):
    data = datasets.Dataset.from_dict({"label": numbers})
    encoded = data.class_encode_column("label")["label"][:]
    print(f"labels {numbers}: encoded {encoded}")
    cast = data.cast_column("label", datasets.ClassLabel(num_classes=12))["label"][:]
    assert cast == numbers, "this has changed"
    return encoded


source = encode(list(range(12)))
target = encode(list(range(10)))
right = sum(source[number] == encoded for number, encoded in enumerate(target))
print(f"{right} of the target's 10 classes have the number that they have in the source")
assert source == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3], "this has changed"
assert target == list(range(10)) and right == 2, "this has changed"
PYTHON
