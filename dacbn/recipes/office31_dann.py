"""DANN on the photographs of Office-31, from Amazon's to a webcam's.

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
https://arxiv.org/abs/1505.07818; on ResNet-50, Long et al., "Conditional Adversarial Domain
Adaptation", NeurIPS 2018, https://arxiv.org/abs/1705.10667.
"""

import dataclasses

from dacbn.recipes.recipe_registry import recipes
from dacbn.spec import Spec
from dacbn.training import TrainConfig


@recipes.register("office31-dann-resnet50")
def amazon_to_webcam() -> TrainConfig:
    """DANN on a pretrained ResNet-50 from Amazon to webcam photographs, for 20,000 steps.

    The dataset has to be unpacked into data/office31; give --source and --target for other folders,
    which have one sub-folder per class.

    Command: dacbn train office31-dann-resnet50
    Time: an hour or two on a GPU.
    Published: 84.9 % on target images that were held out, without target labels for selection
    (a run of the Transfer Learning Library by one of its users); 91.4 % with target labels for
    selection, on the training images (its table).
    Differs from the paper: a fifth of the target is held out; no warm start of the reversal's
    strength.
    """
    return TrainConfig(
        source=("data/office31/amazon/images",),
        target=("data/office31/webcam/images",),
        augment="photos",
        backbone="resnet50",
        pretrained=True,
        norm=None,
        bottleneck=256,
        method=Spec("dann(weight=1.0)"),
        steps=20_000,
        source_batch_size=32,
        target_batch_size=32,
        optimizer="sgd",
        lr=1e-2,
        backbone_lr_factor=0.1,
        warmup=0.0,
        statistics="follow",
        classifier_start="random",
        schedule="dann",
        weight_decay=1e-3,
        eval_every=1000,
        checkpoint_every=500,
    )


@recipes.register("office31-dann-resnet50-small")
def amazon_to_webcam_small() -> TrainConfig:
    """DANN on a pretrained ResNet-18 from Amazon to webcam photographs, a small version.

    Command: dacbn train office31-dann-resnet50-small
    Time: minutes on a CPU.
    Published: none for this network, size and number of steps.
    """
    return dataclasses.replace(
        amazon_to_webcam(),
        backbone="resnet18",
        image_size=112,
        steps=300,
        source_batch_size=16,
        target_batch_size=16,
        eval_every=0,
        checkpoint_every=50,
    )
