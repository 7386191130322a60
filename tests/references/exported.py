"""A small trained adapter whose domains have statistics and parameters of their own."""

import numpy as np
import torch
from PIL import Image

from dacbn import DomainAdapter

SIZE, CLASSES = 32, ("ant", "bee", "cat", "dog")


def drawn_images(count=24, seed=0):
    """Return uint8 images (N, S, S, 3) whose brightness and contrast differ."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, SIZE, SIZE, 3))
    contrast, brightness = generator.uniform(0.3, 1, (2, count, 1, 1, 1))
    return (pixels * contrast * brightness).astype(np.uint8)


def photo_folders(folder, *names):
    """Write a folder of photographs for each domain, with a sub-folder per class."""
    for domain, name in enumerate(names):
        for number, pixels in enumerate(drawn_images(16, seed=domain)):
            place = folder / name / CLASSES[number % 4]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number}.png")
    return [folder / name for name in names]


def trained_run(folder, **options):
    """Train two steps on folders of photographs; return the run's folder and theirs."""
    places = photo_folders(folder / "photos", "studio", "phone")
    settings = {"method": "source_only", "steps": 2, "source_batch_size": 8, "image_size": SIZE}
    settings |= {"target_batch_size": 8, "augment": "none", "cache": "none", **options}
    adapter = DomainAdapter("test_resnet", "domain_specific_batch_norm", **settings)
    source, target = places
    adapter.fit(source, target, source_test=source, target_test=target, run=folder / "run")
    return folder / "run", places


def trained_adapter(backbone="test_resnet", norm="domain_specific_batch_norm", **options):
    """Train two steps, and then give all weights and statistics other values."""
    images = drawn_images()
    labels = np.array([*CLASSES] * 6)
    settings = {"method": "source_only", "steps": 2, "source_batch_size": 8, "seed": 0}
    adapter = DomainAdapter(backbone, norm, **{**settings, "target_batch_size": 8, **options})
    adapter.fit((images, labels), 255 - images)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in adapter.network.state_dict().items():
            if tensor.is_floating_point() and "pixel_" not in name:
                noise = torch.randn(tensor.shape, generator=generator)
                size = tensor.std(correction=0)
                tensor.add_(0.1 * (noise.abs() if "var" in name else size * noise))
        for parameter in adapter.network.classifier.parameters():
            parameter.mul_(10)
    return adapter
