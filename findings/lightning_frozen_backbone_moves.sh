#!/usr/bin/env bash
# Lightning's fine-tuning trains the BatchNorms that it was asked to freeze, or lets them follow the batch.
#
# BackboneFinetuning freezes a pretrained backbone for the first epochs. train_bn=False is heard only when the
# backbone is unfrozen: until then weights, biases and statistics of its BatchNorms are trained as with
# True. A callback of one's own that calls BaseFinetuning.freeze(backbone, train_bn=False) keeps
# all these numbers; but it sets track_running_stats = False, with which a layer in training normalises by the
# batch, and in evaluation by the pretrained statistics: the head learns from other features than those
# that it answers by. Nothing is said in either case. Expected: the pretrained function, in training too, as
# .eval() on these layers, which the Trainer leaves alone, gives.
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
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning
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
        norm = nn.BatchNorm2d(4)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(144, 3)
        with torch.no_grad():
            for _ in range(50):  # statistics of the source
                self.backbone(images - 4)

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self.head(self.backbone(batch[0])), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(filter(lambda each: each.requires_grad, self.parameters()), lr=0.1)


class OfOnesOwn(BaseFinetuning):
    def freeze_before_training(self, module):
        self.freeze(module.backbone, train_bn=False)

    def finetune_function(self, module, epoch, optimizer):
        pass


class ByMode(OfOnesOwn):
    def freeze_before_training(self, module):
        module.backbone.requires_grad_(False).eval()


found = {}
for name, callback in {
    "BackboneFinetuning(train_bn=True)": BackboneFinetuning(unfreeze_backbone_at_epoch=10),
    "BackboneFinetuning(train_bn=False)": BackboneFinetuning(
        unfreeze_backbone_at_epoch=10, train_bn=False
    ),
    "freeze(train_bn=False)": OfOnesOwn(),
    ".eval()": ByMode(),
}.items():
    torch.manual_seed(0)
    model = Pretrained()
    before = copy.deepcopy(model.backbone[1].state_dict())
    lightning.Trainer(
        max_epochs=2,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, loader)
    after = model.backbone[1].state_dict()
    moved = [key for key in before if not torch.equal(before[key], after[key])]
    with torch.no_grad():
        training, answering = model.backbone(images).mean(), model.backbone.eval()(images).mean()
    found[name] = [*moved], bool(torch.isclose(training, answering))
    print(f"{name}: moved {moved}; features in training {training:.3f}, in evaluation {answering:.3f}")
everything = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
assert found.pop(".eval()") == ([], True)
assert found["BackboneFinetuning(train_bn=True)"][0] == everything
assert found["BackboneFinetuning(train_bn=False)"][0] == everything, "this has changed"
assert found["freeze(train_bn=False)"] == ([], False), "this has changed"
PYTHON
