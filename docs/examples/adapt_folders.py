"""Adapt a classifier from one folder of images to another, score it, and draw its predictions.

Give two folders with one sub-folder per class, or none to use small drawn ones:
python adapt_folders.py --source photos/amazon --target photos/webcam
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

from dacbn import DomainAdapter

parser = argparse.ArgumentParser()
parser.add_argument("--source", type=Path)
parser.add_argument("--target", type=Path)
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--output", type=Path, default=Path("adapt_folders.png"))
options = parser.parse_args()


def draw_domains(folder: Path, per_class: int = 60) -> tuple[Path, Path]:
    """Save grey digits as one domain, and other digits in two random colours as the other."""
    random, digits = np.random.default_rng(0), load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        image = Image.fromarray((pixels * 15.9).astype("uint8")).resize((32, 32))
        domain = "coloured" if number % 2 else "grey"
        if domain == "coloured":
            paper, ink = random.integers(0, 130, (2, 3))
            image = ImageOps.colorize(image, tuple(paper.tolist()), tuple((ink + 125).tolist()))
        class_folder = folder / domain / f"digit {label}"
        class_folder.mkdir(parents=True, exist_ok=True)
        if len(list(class_folder.iterdir())) < per_class:
            image.save(class_folder / f"{number}.png")
    return folder / "grey", folder / "coloured"


with tempfile.TemporaryDirectory() as temporary:
    source, target = options.source, options.target
    if source is None or target is None:
        source, target = draw_domains(Path(temporary))

    adapters = {}
    for method in ("source_only", "dann"):
        adapter = DomainAdapter(
            method=method, steps=options.steps, image_size=32, augment="digits"
        )  # larger images and augment="photos" suit photographs
        adapters[method] = adapter.fit(source, target)
    accuracy = {name: adapter.score(target) for name, adapter in adapters.items()}
    files = sorted(target.rglob("*.[pj][np]*g"))
    shown = [files[index] for index in np.linspace(0, len(files) - 1, 24).astype(int)]
    predicted = [adapter.classes[label] for label in adapter.predict(shown)]

    figure = plt.figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2.2, 1))
    left.suptitle("Target images, with predictions of the adapted network")
    for axes, file, name in zip(left.subplots(4, 6).flat, shown, predicted, strict=True):
        axes.imshow(Image.open(file).convert("RGB"))
        axes.set_title(name, fontsize=8, color="tab:green" if name == file.parent.name else "red")
        axes.set_axis_off()
    axes = right.subplots()
    bars = axes.bar(list(accuracy), list(accuracy.values()), color=["#999999", "#0072B2"])
    axes.bar_label(bars, fmt="{:.0%}")
    axes.set(title="Accuracy on the target", ylim=(0, 1.05), ylabel="share of test images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(options.output, dpi=110)
