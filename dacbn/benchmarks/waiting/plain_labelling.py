"""Label JPEGs by timm's resnet18 as tutorials do: a Dataset, torchvision's transforms, DataLoader.

Run as a script, without dacbn: plain_labelling.py FOLDER PIXELS OUTPUT.
"""

import csv
import sys
from pathlib import Path

import timm
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

WORKERS = 2
BATCH_SIZE = 64


class Photos(Dataset[Tensor]):
    """Photographs of a folder, as torchvision's ImageFolder reads them."""

    def __init__(self, files: list[Path], pixels: int) -> None:
        self.files = files
        self.transform = transforms.Compose(
            [
                transforms.Resize(pixels),
                transforms.CenterCrop(pixels),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Return one as (3, S, S)."""
        pixels: Tensor = self.transform(Image.open(self.files[index]).convert("RGB"))
        return pixels


def label(folder: Path, pixels: int, output: Path) -> None:
    """Write the label of each photograph."""
    files = sorted(folder.glob("*.jpg"))
    network = timm.create_model("resnet18", num_classes=2).eval()
    loader = DataLoader(Photos(files, pixels), BATCH_SIZE, num_workers=WORKERS)
    with torch.inference_mode(), output.open("w", newline="") as file:
        writer = csv.writer(file)
        names = iter(files)
        for batch in loader:
            confidences, labels = network(batch).softmax(1).max(1)
            for confidence, each in zip(confidences.tolist(), labels.tolist(), strict=True):
                writer.writerow([next(names), each, f"{confidence:.4f}"])


if __name__ == "__main__":
    label(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
