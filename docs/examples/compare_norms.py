"""Compare two normalisers over several seeds, by paired differences.

`dacbn compare` does this for whole grids, with controls and tables; here it is step by step.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from dacbn import DomainAdapter

parser = argparse.ArgumentParser()
parser.add_argument("--source", default="digits")
parser.add_argument("--target", default="color_digits")
parser.add_argument("--method", default="dann")
parser.add_argument("--first", default="batch_norm")
parser.add_argument("--second", default="ucb_norm(num_clusters=2, assign='sample')")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--output", type=Path, default=Path("compare_norms.png"))
options = parser.parse_args()

norms = options.first, options.second
accuracy = np.zeros((options.seeds, 2))
for seed in range(options.seeds):
    for column, norm in enumerate(norms):
        adapter = DomainAdapter(norm=norm, method=options.method, steps=options.steps, seed=seed)
        adapter.fit(options.source, options.target)
        accuracy[seed, column] = 100 * adapter.score(options.target)
        print(f"seed {seed}, {norm}: {accuracy[seed, column]:.1f} %")

# Runs of one seed share images and initial weights, so they are compared in pairs: the effect of
# the seed cancels.
difference = accuracy[:, 1] - accuracy[:, 0]
mean = difference.mean()
reach = stats.t.ppf(0.975, options.seeds - 1) * stats.sem(difference)
print(f"{norms[1]} minus {norms[0]}: {mean:+.1f} points, 95 % interval ± {reach:.1f}")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), layout="constrained", width_ratios=(1.5, 1)
)
for pair in accuracy:
    left.plot([0, 1], pair, "o-", color="#999999", linewidth=1, markersize=4)
left.errorbar(
    [0, 1], accuracy.mean(0), accuracy.std(0, ddof=1), fmt="s", color="#0072B2", capsize=5, zorder=3
)
left.plot([], [], "o-", color="#999999", label="one seed")
left.plot([], [], "s", color="#0072B2", label="mean ± standard deviation")
left.set_xticks([0, 1], [norm.replace("(", "\n(") for norm in norms])
left.set(
    xlim=(-0.4, 1.4),
    ylabel="target test accuracy (%)",
    title=f"{options.source} → {options.target}, {options.method}",
)
left.legend(frameon=False)
right.axvline(0, color="black", linewidth=0.8)
right.plot(difference, np.arange(options.seeds), "o", color="#999999")
right.errorbar([mean], [-1], xerr=[reach], fmt="s", color="#0072B2", capsize=5)
right.set_yticks(
    [-1, *range(options.seeds)], ["mean, 95 %", *map("seed {}".format, range(options.seeds))]
)
right.set(title="Second minus first", xlabel="points of accuracy")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(options.output, dpi=110)
