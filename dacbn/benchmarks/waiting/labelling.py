"""`dacbn predict` on a folder of JPEGs, compared with a loop of torchvision's."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.waiting.rows import Conditions, Options, compare

WIDTH, HEIGHT = 800, 560  # of a photograph
KINDS = 20  # of different ones
PLAIN = Path(__file__).with_name("plain_labelling.py")


def time_labelling(options: Options) -> list[Row]:
    """Time the labelling of photographs by resnet18, from start to table."""
    photos, run = options.folder / "photos", options.folder / "labelled"
    _draw_photos(photos, options.files)
    _draw_photos(options.folder / "classes" / "a", 4)
    _draw_photos(options.folder / "classes" / "b", 4)
    domains = ["--source", "classes", "--target", "classes", "--image-size", str(options.pixels)]
    words = ["train", "--backbone", "resnet18", "--steps", "1", "--run", str(run), *domains]
    sizes = ["--source-batch-size", "4", "--target-batch-size", "4", "--eval-every", "0"]
    options.build.run(["-m", "dacbn", *words, *sizes], options.folder)
    predict = ["-m", "dacbn", "predict", str(run), str(photos), "--output", "ours.csv"]
    plain = [str(PLAIN), str(photos), str(options.pixels), "plain.csv"]
    ours, peer = (partial(options.build.run, each, options.folder) for each in (predict, plain))
    size = f"{options.files} JPEGs of {WIDTH} x {HEIGHT}, resnet18 at {options.pixels} px"
    against = "torchvision, DataLoader with 2 workers, float32"
    conditions = Conditions("auto", "the build's", size)
    return [compare("dacbn predict", ours, peer, against, conditions, options.rounds)]


def _draw_photos(folder: Path, count: int) -> None:
    """Write photographs of smooth noise, with as much detail as JPEGs of cameras have."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(min(KINDS, count)):
        coarse = Image.fromarray(random.integers(0, 256, (14, 20, 3), dtype=np.uint8))
        fine = random.normal(0, 8, (HEIGHT, WIDTH, 3))
        pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) + fine
        drawn.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    for number in range(count):
        drawn[number % len(drawn)].save(folder / f"{number:05}.jpg", quality=90)
