#!/usr/bin/env bash
# Lightning's averaging of weights empties BatchNorms that were frozen.
#
# BatchNorms of a pretrained network are frozen by .eval(), and Lightning's Trainer leaves layers in the mode
# that they have. StochasticWeightAveraging sets the statistics of all BatchNorms to mean 0 and variance 1
# before a last epoch that is to estimate them anew. Layers in evaluation do not, so that they
# normalise nothing from then on: the network that fit returns, and that is saved, has lost its pretrained
# statistics, and nothing is said. Expected: frozen layers as they were, or the statistics of the
# data, as torch.optim.swa_utils.update_bn gives. A copy of the statistics, put back after fit, cures it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "lightning==2.6.6" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import copy
import logging
import warnings

import lightning
import torch
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
print(f"lightning {lightning.__version__}, torch {torch.__version__}")
images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 3 + 2
loader = DataLoader(TensorDataset(images, torch.arange(64) % 3), 16)


class Pretrained(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        with torch.no_grad():
            for _ in range(50):  # statistics of the source
                self.backbone(images * 2)

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self.head(self.backbone(batch[0])), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.head.parameters(), lr=0.01)


def frozen_and_fitted(*callbacks):
    torch.manual_seed(0)
    model = Pretrained()
    model.backbone.requires_grad_(False).eval()
    before = copy.deepcopy(model.backbone[1])
    lightning.Trainer(
        max_epochs=3,
        callbacks=[*callbacks],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, loader)
    return before, model.backbone[1]


before, after = frozen_and_fitted()
print(f"before: means {before.running_mean.tolist()}, variances {before.running_var.tolist()}")
assert torch.equal(before.running_var, after.running_var) and not after.training
before, after = frozen_and_fitted(StochasticWeightAveraging(0.01, swa_epoch_start=1))
print(f"after fit with averaging, in training {after.training}: ", end="")
print(f"means {after.running_mean.tolist()}, variances {after.running_var.tolist()}")
assert before.running_var.min() > 2
assert after.running_mean.eq(0).all() and after.running_var.eq(1).all(), "this has changed"
PYTHON
