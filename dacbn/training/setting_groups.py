"""The settings of a training, in four groups, with their limits and roles.

A setting is added here and nowhere else: its group and the marks in its type decide whether a
resumed training may change it, whether an adaptation keeps it, and how runs are compared.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dacbn.limits import AT_LEAST_0, AT_LEAST_1, BELOW_1, POSITIVE
from dacbn.spec import Spec
from dacbn.training.roles import Group, Role

NO_TARGET = "none"  # in place of a target's name


@dataclass(frozen=True)
class DataSettings(Group):
    """Settings of the data."""

    source: Annotated[tuple[str, ...], Role.KEPT, Role.IMAGES, Role.NAMING] = ("digits",)
    """Labelled domains, one or several: a dataset's name, a folder with one sub-folder per class,
    or a table, which may hold several domains; TABLE:DOMAIN is one of them; or the address of
    shards, which are read as a stream."""
    target: Annotated[tuple[str, ...], Role.IMAGES, Role.NAMING] = ("color_digits",)
    """Domains to adapt to, as the sources; their labels, if any, are used for evaluation only. none
    trains on the sources alone."""
    target_labelled: Annotated[tuple[str, ...], Role.KEPT, Role.IMAGES, Role.ADDED] = ()
    """A few labelled images of each target, for methods that take them: a folder with one
    sub-folder per class, or a list of files and labels. All of them are trained on."""
    unseen: Annotated[tuple[str, ...], Role.NEUTRAL, Role.KEPT, Role.ADDED] = ()
    """With --target none: labelled domains that are only scored, and never trained on."""
    merge_sources: Annotated[bool, Role.KEPT, Role.ADDED] = False
    """Treat several sources as one domain."""
    merge_targets: Annotated[bool, Role.KEPT, Role.ADDED] = False
    """Treat several targets as one domain, in which nobody knows which image is whose."""
    balance_domains: Annotated[bool, Role.KEPT, Role.ADDED] = True
    """Take equally many images of each source, and of each target, in every batch; otherwise
    every image is equally likely."""
    unknown: Annotated[bool, Role.KEPT, Role.ADDED] = False
    """Answer "unknown" where an image seems to be of none of the source's classes, by a threshold
    chosen without labels; a target may then have other classes."""
    data_root: Annotated[Path, Role.UNREPORTED] = Path("data")
    """Folder of the named datasets, laid out as torchvision does."""
    download: Annotated[bool, Role.UNREPORTED] = False
    """Download named datasets that are missing."""
    image_size: Annotated[int | None, AT_LEAST_1, Role.KEPT, Role.IMAGES] = None
    """Pixels per side; None chooses by the domains (32 for digits, 224 for folders); pretrained
    weights have a size of their own for folders, of which a CPU takes at most 160."""
    fit: Annotated[Literal["crop", "pad", "squeeze"], Role.KEPT, Role.IMAGES, Role.ADDED] = "crop"
    """How images become square: their centre is cropped, or they are padded or squeezed."""
    augment: Literal["auto", "digits", "photos", "colour", "none"] = "auto"
    """Random views of both domains; "digits" never mirrors, "colour" is photos with other colours,
    auto decides by the domains."""
    columns: Annotated[tuple[str, ...], Role.ADDED] = ()
    """Columns of a table whose names are not the usual ones, as "label=species" or "domain=camera";
    roles are path, label, domain and split."""
    on_unreadable: Annotated[Literal["skip", "raise"], Role.NEUTRAL] = "skip"
    """What to do with images that cannot be decoded."""
    cache: Annotated[str, Role.UNREPORTED, Role.ADDED] = "auto"
    """Folder for the pixels of large domains of files, so that each image is decoded once; auto is
    in the user's cache folder, and none decodes in each run, or each pass if memory is short."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target == (NO_TARGET,):
            object.__setattr__(self, "target", ())


@dataclass(frozen=True)
class NetworkSettings(Group):
    """Settings of the network."""

    roles = Role.KEPT

    backbone: Annotated[str, Role.NAMING] = "digits_cnn"
    """digits_cnn, or any timm model with BatchNorm."""
    pretrained: bool = False
    """Start from timm's pretrained weights, or fine-tune those of a module that is given."""
    weights: Annotated[str | None, Role.UNREPORTED, Role.ADDED] = None
    """Start from the weights in this file, .safetensors or .pth, or in a folder that timm saved;
    they are those of the backbone, with any classifier or none."""
    weights_sha256: Annotated[str | None, Role.ADDED] = None
    """What the file of weights must hash to; found out if not given."""
    pixel_mean: Annotated[tuple[float, float, float] | None, Role.ADDED] = None
    """Mean of red, green and blue in [0, 1] that the backbone expects; None asks timm."""
    pixel_std: Annotated[tuple[float, float, float] | None, POSITIVE, Role.ADDED] = None
    """Standard deviation of the same."""
    norm: Annotated[Spec | None, Role.VARIED, Role.NAMING] = Spec(  # noqa: RUF009  # immutable
        "ucb_norm(num_clusters=2, assign='sample')"
    )
    """Replaces the backbone's BatchNorms; options as in "ucb_norm(num_clusters=5)"."""
    norm_sites: str = "all"
    """Which normalisers are replaced: all, first, last, or a pattern such as "layer1.*"."""
    norm_replaces: Literal["batch_norm", "layer_norm"] = "batch_norm"
    """Kind of layer to replace; layer_norm for ConvNeXt, ViT and similar models."""
    input_norm: Spec | None = None
    """A normaliser of the images, before the backbone, such as instance_norm."""
    statistics: Annotated[Literal["auto", "follow", "slow", "frozen"], Role.ADDED] = "auto"
    """How running statistics of the backbone move in training: follow moves them as its layers do,
    slow by at most 0.01 per batch, and frozen keeps them, and normalises by them in training too.
    auto chooses for pretrained weights, and follows otherwise."""
    cluster_ids: Literal["domain", "random", "swapped"] = "domain"
    """Ids passed to cluster-aware normalisers: domain ids, or random or swapped ids as controls."""
    classifier: Annotated[tuple[int, ...], AT_LEAST_1] = ()
    """Widths of the classifier's hidden layers, each with a BatchNorm; none makes it linear."""
    classifier_temperature: Annotated[float | None, POSITIVE, Role.ADDED] = None
    """Scale the features to length 1 before the classifier's last layer, which then has no bias,
    and divide the logits by this; None is 0.05 for mme, and changes nothing otherwise."""
    bottleneck: Annotated[int | None, AT_LEAST_0, Role.ADDED] = None
    """Width of a layer with BatchNorm and ReLU after the backbone, whose outputs are the features;
    0 has none, and None decides by the weights at the start."""


@dataclass(frozen=True)
class OptimSettings(Group):
    """Settings of the optimisation."""

    method: Annotated[Spec, Role.VARIED, Role.NAMING] = Spec("dann")  # noqa: RUF009  # immutable
    """Adaptation method; options as in "dann(weight=0.1)"."""

    train: Annotated[Literal["auto", "all", "norms", "head"], Role.ADDED] = "auto"
    """What of the backbone is trained: all, its normalisers' parameters (norms), or nothing (head),
    where it runs once over all images; auto is all."""
    classifier_start: Annotated[Literal["auto", "random", "probe", "centres"], Role.ADDED] = "auto"
    """Weights that the classifier starts from: random, a linear probe, the logistic regression of
    the source's features before training, or centres, those of the classes of both domains, found
    from the probe's answers on the target; auto is centres for pretrained weights, and probe if the
    method does not use the target, or is for targets that lack classes (pada)."""
    steps: Annotated[int, AT_LEAST_1, Role.LENGTH] = 600
    """Optimiser steps; larger domains deserve more."""
    source_batch_size: Annotated[int, AT_LEAST_1, Role.KEPT] = 64
    """Source images per step; a smaller domain is repeated, each time in other views."""
    balance_classes: Annotated[bool, Role.KEPT, Role.ADDED] = False
    """Draw source images so that all classes are equally frequent in the batches."""
    target_batch_size: Annotated[int, AT_LEAST_1] = 64
    """Target images per step; a smaller domain is repeated, each time in other views."""
    labelled_batch_size: Annotated[int, AT_LEAST_1, Role.KEPT, Role.ADDED] = 32
    """Labelled target images per step, if there are any; they are repeated, in other views."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    lr: Annotated[float | None, POSITIVE] = None
    """Learning rate at the start; None means 0.001 for AdamW and 0.01 for SGD, and 0.3 times that
    where the classifier starts as a probe."""
    backbone_lr_factor: Annotated[float | None, POSITIVE, Role.ADDED] = None
    """Rate of the backbone as a fraction of the heads'; None is 0.15 for pretrained weights, else
    1."""
    warmup: Annotated[float | None, BELOW_1, Role.ADDED] = None
    """Share of the steps over which the rate rises from 0; None is 0.1 for pretrained weights, else
    0."""
    schedule: Literal["constant", "cosine", "dann"] = "cosine"
    """How the rate falls; dann is the paper's (1 + 10 p)^-0.75."""
    weight_decay: Annotated[float, AT_LEAST_0] = 1e-4
    """Weight decay (decoupled for AdamW)."""
    clip_norm: Annotated[float | None, POSITIVE] = None
    """Largest norm of the gradient; None does not clip."""
    ema_decay: Annotated[float | None, BELOW_1] = None
    """Keep a moving average of the weights and use it for evaluation and export; the average is
    shorter at first, when weights change fast."""

    seed: Annotated[int, AT_LEAST_0, Role.VARIED] = 0
    """Seed of the initial weights, the order of the images and their views."""
    sync_group: Annotated[int, AT_LEAST_0, Role.ADDED] = 0
    """On several processes: of how many the batches are one to the normalisers; 0 is all."""
    process_timeout: Annotated[float, POSITIVE, Role.UNREPORTED, Role.ADDED] = 10.0
    """Minutes after which a process that does not answer ends the others."""
    device: Annotated[str, Role.UNREPORTED] = "auto"
    """cpu, cuda, cuda:1, …; auto uses a GPU if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of forward and backward passes in training; auto = bfloat16 if the GPU or CPU
    supports it natively, else float32."""
    compile: Annotated[bool, Role.NEUTRAL] = False
    """Compile the network with torch.compile; slower to start, faster on a GPU."""


@dataclass(frozen=True)
class RecordSettings(Group):
    """Settings of the files written during training."""

    roles = Role.NEUTRAL

    log_every: Annotated[int, AT_LEAST_1, Role.UNREPORTED] = 20
    """Steps between lines of metrics.jsonl."""
    eval_every: Annotated[int, AT_LEAST_0] = 200
    """Steps between evaluations on the test splits; 0 evaluates at the end only."""
    checkpoint_every: Annotated[int, AT_LEAST_0, Role.UNREPORTED] = 100
    """Steps between checkpoints; 0 keeps one at the end only."""
    snapshot_every: Annotated[int, AT_LEAST_0, Role.UNREPORTED] = 0
    """Steps between snapshots of the network for `dacbn analyse`; 0 keeps none."""
    validators: tuple[str, ...] = (
        *("source_accuracy", "entropy", "information_maximisation", "bnm", "class_ami", "snd"),
    )
    """Label-free scores computed at each evaluation, for `dacbn evaluate`; see dacbn list."""
    tensorboard: Annotated[bool, Role.UNREPORTED] = False
    """Write TensorBoard events too."""
