"""Shards of small pictures, as webdataset writes them."""

import io

import numpy as np
from PIL import Image


def png(pixels):
    """Return the bytes of an image file of uint8 pixels (H, W, 3)."""
    content = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(content, "PNG")
    return content.getvalue()


def level(value, shape=(5, 4)):
    """Return an image file of one grey level."""
    return png(np.full((*shape, 3), value))


def noise(random, mean, shape=(34, 36)):
    """Return an image file of noise about a grey level."""
    return png(random.normal(mean, 20, (*shape, 3)).clip(0, 255))


def write_shards(folder, name, images, classes, each=10):
    """Write image files into shards NAME-0.tar, NAME-1.tar and so on, with names of classes.

    Image n has label n modulo the number of the classes. Returns the pattern of the shards.
    """
    import webdataset

    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-len(images) // each)
    for shard in range(shards):
        with webdataset.TarWriter(str(folder / f"{name}-{shard}.tar")) as writer:
            for n in range(shard * each, min(len(images), (shard + 1) * each)):
                writer.write({"__key__": f"{n:05d}", "png": images[n], "cls": n % len(classes)})
    (folder / "classes.txt").write_text("\n".join(classes) + "\n")
    return f"{folder}/{name}-{{0..{shards - 1}}}.tar"
