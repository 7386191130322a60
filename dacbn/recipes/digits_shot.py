"""SHOT from SVHN to MNIST: the training on the source that its adaptation starts from.

Paper: Liang, Hu and Feng, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer
for Unsupervised Domain Adaptation", ICML 2020, https://arxiv.org/abs/2002.08546.
"""

import dataclasses

from dacbn.recipes.recipe_registry import recipes
from dacbn.spec import Spec
from dacbn.training import TrainConfig


@recipes.register("svhn-to-mnist-shot")
def svhn_to_mnist() -> TrainConfig:
    """SHOT from SVHN to MNIST: the source's stage, of 30 epochs; dacbn adapt is the second.

    Command: dacbn train svhn-to-mnist-shot --data-root data --run runs/svhn, then
    dacbn adapt runs/svhn --method "shot(weight=0.1)" --steps 28000, which reads no source.
    Time: an hour or two on a CPU, some minutes on a GPU.
    Published: 98.9 % after both stages, and 67.1 % after the first, of three seeds
    (https://github.com/tim-learn/SHOT).
    Differs from the paper: the network, DANN's convolutions with a hidden layer of 256; no weight
    normalisation; a cosine; random views of the images.
    """
    return TrainConfig(
        source=("svhn",),
        target=("mnist",),
        norm=Spec("batch_norm"),
        classifier=(256,),
        method=Spec("source_only(label_smoothing=0.1)"),
        steps=34_000,
        optimizer="sgd",
        lr=0.01,
        weight_decay=1e-3,
        eval_every=2000,
        checkpoint_every=1000,
    )


@recipes.register("svhn-to-mnist-shot-small")
def svhn_to_mnist_small() -> TrainConfig:
    """SHOT from SVHN to MNIST, a small version: the source's stage.

    Command: dacbn train svhn-to-mnist-shot-small --data-root data --run runs/svhn, then
    dacbn adapt runs/svhn --method "shot(weight=0.1, rounds=3)" --steps 600
    Time: minutes on a CPU for each.
    Published: none for so few steps.
    """
    return dataclasses.replace(svhn_to_mnist(), steps=2000, eval_every=0, checkpoint_every=200)
