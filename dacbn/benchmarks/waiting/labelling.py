"""`dacbn predict` on a folder of JPEGs, compared with a loop of torchvision's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.waiting.rows import Conditions, Options, compare
from dacbn.progress import LOGGER

WIDTH, HEIGHT = 800, 560  # of a photograph
KINDS = 20  # of different ones
PLAIN = Path(__file__).with_name("plain_labelling.py")


def time_labelling(options: Options) -> list[Row]:
    """Time the labelling of photographs by resnet18, from start to table."""
    run = options.folder / "labelled"
    LOGGER.info(
        f"writing {min(options.files, KINDS)} photographs, and links to them for the rest, into "
        f"{options.folder}, which is removed at the end"
    )
    draw_photos(options.folder / "photos", options.files)
    draw_photos(options.folder / "few", min(options.files, KINDS))
    draw_photos(options.folder / "classes" / "a", 4)
    draw_photos(options.folder / "classes" / "b", 4)
    domains = ["--source", "classes", "--target", "classes", "--image-size", str(options.pixels)]
    words = ["train", "--backbone", "resnet18", "--steps", "1", "--run", str(run), *domains]
    sizes = ["--source-batch-size", "4", "--target-batch-size", "4", "--eval-every", "0"]
    options.build.run(["-m", "dacbn", *words, *sizes], options.folder)

    def runs(photos: Path) -> tuple[Callable[[], object], Callable[[], object]]:
        predict = ["-m", "dacbn", "predict", str(run), str(photos), "--output", "ours.csv"]
        plain = [str(PLAIN), str(photos), str(options.pixels), "plain.csv"]
        ours, peer = (partial(options.build.run, each, options.folder) for each in (predict, plain))
        return ours, peer

    for warm_up in runs(options.folder / "few"):  # many take minutes
        warm_up()
    ours, peer = runs(options.folder / "photos")
    size = f"{options.files} JPEGs of {WIDTH} x {HEIGHT}, resnet18 at {options.pixels} px"
    against = "torchvision, DataLoader with 2 workers, float32"
    conditions = Conditions("auto", "the build's", size)
    row = compare(
        *("dacbn predict", ours, peer, against, conditions, options.rounds), warm_up=False
    )
    return [row]


def draw_photos(folder: Path, count: int) -> None:
    """Write photographs of smooth noise, with as much detail as JPEGs of cameras have.

    Those beyond the first are links to them, so that ten thousand fit on any disk.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    files = [folder / f"{number:05}.jpg" for number in range(count)]
    for file in files[:KINDS]:
        coarse = Image.fromarray(random.integers(0, 256, (14, 20, 3), dtype=np.uint8))
        fine = random.normal(0, 8, (HEIGHT, WIDTH, 3))
        pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) + fine
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, quality=90)
    for number, file in enumerate(files[KINDS:]):
        file.hardlink_to(files[number % KINDS])
