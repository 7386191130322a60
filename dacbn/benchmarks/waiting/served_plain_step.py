"""Take a step of DANN on timm's resnet18 as tutorials write it, for each line that is read.

Run as a script, without dacbn: served_plain_step.py PRECISION PIXELS IMAGES. It prints a line after
each step.
"""

import sys
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 10


class Reverse(torch.autograd.Function):
    """The gradient, reversed."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Return the reversed gradient."""
        return -0.1 * gradient


def serve(precision: str, pixels: int, images: int) -> None:
    """Train on one batch until there are no more lines."""
    backbone = timm.create_model("resnet18", num_classes=0)
    classifier = nn.Linear(512, CLASSES)
    head = nn.Sequential(
        *(nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1))
    )
    model = nn.ModuleList([backbone, classifier, head]).train()
    optimizer = torch.optim.AdamW(model.parameters())
    source, target = torch.rand(2, images, 3, pixels, pixels)
    labels = torch.arange(images) % CLASSES
    domains = torch.cat([torch.zeros(images), torch.ones(images)])
    for _ in sys.stdin:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            features = backbone(torch.cat([source, target]))
            logits = classifier(features[:images])
            reversed_features: torch.Tensor = Reverse.apply(features)
            predicted = head(reversed_features).squeeze(1)
        loss = F.cross_entropy(logits.float(), labels)
        loss = loss + F.binary_cross_entropy_with_logits(predicted.float(), domains)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        print("done", flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
