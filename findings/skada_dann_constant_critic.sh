#!/usr/bin/env bash
# skada's DANN and CDAN train as if there were no target: their critic answers 1 to everything.
#
# Both methods confuse a critic that tells source from target. Unless one is given, skada builds it, and
# ends it with a softmax over its only output, which is 1 whatever goes in: the loss is constant, and its
# gradient is zero. The weights are the same to the bit for reg=0 and reg=100, and nothing is said
# but that softmax was called without a dimension. Expected: that the weight of the method has an
# effect, as it has with a critic of one's own that ends with a sigmoid.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "skada==0.6.0" "skorch==1.4.0" "pot==0.9.7.post1" \
    "scikit-learn==1.9.1" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import skada
import torch
from skada.deep import CDAN, DANN
from skada.deep.modules import DomainClassifier, ToyModule2D

print(f"skada {skada.__version__}, torch {torch.__version__}")
rng = np.random.default_rng(0)
x = rng.normal(0, 1, (512, 2)).astype(np.float32)
y = (x[:, 0] > 0).astype(int)
x[256:] += 2
y[256:] = -1  # the target has no labels
domain = np.repeat([1, -2], 256)

torch.manual_seed(0)
features = torch.randn(8, 10, requires_grad=True)
answers = DomainClassifier(10)(features)
answers.sum().backward()
gradient = features.grad.abs().max().item()
print(f"answers of the critic: {answers.tolist()}, gradient {gradient}")


def sigmoid_critic(inputs):
    critic = DomainClassifier(inputs)
    critic.classifier[-1] = torch.nn.Sigmoid()
    return critic


def weights(method, reg, critic=None, **options):
    torch.manual_seed(0)
    options |= {"layer_name": "dropout", "batch_size": 64, "max_epochs": 5, "lr": 0.1}
    critic = critic and sigmoid_critic(critic)
    options |= {"domain_classifier": critic} if critic else {"num_features": 10}
    model = method(ToyModule2D(), reg=reg, train_split=None, verbose=0, **options)
    model.fit(x, y, sample_domain=domain)
    return torch.cat([each.flatten() for each in model.module_.base_module_.parameters()])


found = {
    "DANN": (weights(DANN, 0), weights(DANN, 100)),
    "CDAN": (weights(CDAN, 0, n_classes=2), weights(CDAN, 100, n_classes=2)),
    "DANN with a sigmoid": (weights(DANN, 0, critic=10), weights(DANN, 1, critic=10)),
}
moved = {name: (a - b).abs().max().item() for name, (a, b) in found.items()}
for name, change in moved.items():
    print(f"{name}: weights without and with the method differ by {change:.3g}")
assert (answers == 1).all() and gradient == 0, "this has changed"
assert moved["DANN"] == moved["CDAN"] == 0, "this has changed"
assert moved["DANN with a sigmoid"] > 0.01
PYTHON
