"""Look at the clusters that the normalisers of any converted network have found.

Replace the network and the two samples by yours: `Subject` needs nothing else.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import timm
import torch
import torch.nn.functional as F

from dacbn import analysis, convert_norms
from dacbn.datasets import load_labelled

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--images", type=int, default=500)
parser.add_argument("--output", type=Path, default=Path("look_at_clusters.png"))
options = parser.parse_args()

torch.manual_seed(0)
network = timm.create_model("resnet10t", num_classes=10)
convert_norms(network, "ucb_norm", num_clusters=2, assign="sample")
domains = {
    name: load_labelled(name, train=True, root=Path()) for name in ("digits", "color_digits")
}
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
for _ in range(options.steps):  # both domains together, without domain labels
    batches = []
    for domain in domains.values():
        rows = torch.randint(len(domain), (32,))
        batches.append((domain.images.gather(rows).float() / 255, domain.labels[rows]))
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    loss = F.cross_entropy(network(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
samples = {
    name: analysis.Sample(domain.images, cluster_id, domain.labels)
    for cluster_id, (name, domain) in enumerate(domains.items())
}
subject = analysis.Subject("example", network, samples, domains["digits"].classes)
recording = analysis.record(subject, images=options.images)
labels_of = {name: samples[name].labels[rows].numpy() for name, rows in recording.images.items()}
clusters = analysis.compute_clusters(recording, labels_of, num_classes=10)
first = next(iter(clusters))

figure = plt.figure(figsize=(10, 6), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1.5, 1))
panels = top.subplots(1, 3)
for index, (name, axes) in enumerate(zip(domains, panels, strict=False)):
    analysis.plot_occupancy(clusters, index, f"{name}: share of each cluster", axes)
    axes.tick_params(axis="y", labelsize=7, labelleft=index == 0)
depth = np.arange(1, len(clusters) + 1)
for index, kind in enumerate(("domain", "class")):
    values = [each.nmi[index] for each in clusters.values()]
    panels[2].plot(depth, values, "o-", label=f"the {kind}")
panels[2].set(ylim=(0, 1), xlabel="layer, from the input on", ylabel="NMI", xticks=depth[::3])
panels[2].set_title("Do clusters follow …", loc="left", fontsize="medium")
panels[2].legend(frameon=False)
examples = analysis.compute_examples(subject, recording, first, count=16)
for cluster, axes in enumerate(bottom.subplots(2, 1)):
    analysis.plot_examples(examples, cluster, axes)
    axes.set_title(f"{first}: typical of cluster {cluster + 1}", loc="left", fontsize="medium")
figure.savefig(options.output, dpi=110)
