"""Put UCB-Norm into a timm model and train it with a plain PyTorch loop.

One call converts the model; nothing else of dacbn is needed.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from dacbn import UCBNorm, convert_norms

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=150)
parser.add_argument("--output", type=Path, default=Path("own_training_loop.png"))
options = parser.parse_args()

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
images[::2] = 1 - images[::2]  # two populations: white on black, and black on white
images = F.interpolate(images, size=32, mode="bilinear").expand(-1, 3, -1, -1)
images = images + 0.1 * torch.randn_like(images)
labels = torch.tensor(digits.target)

model = timm.create_model("resnet10t", num_classes=10)
print(convert_norms(model, "ucb_norm", num_clusters=2))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
losses = []
for _ in range(options.steps):
    rows = torch.randint(len(images), (64,))
    loss = F.cross_entropy(model(images[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(loss.item())

layer = next(module for module in model.modules() if isinstance(module, UCBNorm))
seen = []
layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
with torch.no_grad():
    model.eval()(images[:256])
mixture = layer.mixture()  # shares, means and variances, (K, C) each
apart = (mixture.mean[0] - mixture.mean[1]).abs() / mixture.var.mean(0).sqrt()

figure, (left, *panels) = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
left.plot(losses, color="#0072B2")
left.set(title="Training loss", xlabel="step", ylabel="nats", yscale="log")
for channel, axes in zip(apart.argsort(descending=True).tolist(), panels, strict=False):
    values = seen[0][:, channel].flatten().numpy()
    axes.hist(values, 80, density=True, color="#DDDDDD", label="activations")
    points = np.linspace(values.min(), values.max(), 400)
    for cluster, colour in enumerate(("#D55E00", "#009E73")):
        share, mean, var = (part[cluster, channel].item() for part in mixture[:3])
        density = share * np.exp(-((points - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)
        axes.plot(points, density, color=colour, label=f"cluster {cluster + 1}, {share:.0%}")
    axes.set(title=f"First layer, channel {channel}", xlabel="activation", yticks=[])
    axes.margins(y=0.35)
    axes.legend(frameon=False, fontsize="small", loc="upper left")
figure.savefig(options.output, dpi=110)
