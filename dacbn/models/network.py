"""A backbone plus classifier: `forward(images, cluster_ids)`."""

import logging

import torch
from torch import Tensor, nn

from dacbn.batch import NUM_DOMAINS, Output
from dacbn.models.backbones import Pretrained, create_backbone, pixel_statistics
from dacbn.models.convert import convert_norms
from dacbn.models.domain_clusters import clusters_for_domains
from dacbn.models.heads import mlp, output_layer
from dacbn.models.id_source import IdSource, check_id_source, shown_ids
from dacbn.models.own_module import copy_module, count_features
from dacbn.models.sites import Replaces
from dacbn.norms import BatchNorm, Statistics, set_statistics, share_context
from dacbn.spelling import spell

LOG = logging.getLogger(__name__)


class Network(nn.Module):
    """Classify images; all cluster-aware layers of the backbone read the ids given to `forward`.

    Args:
        backbone: maps images (B, 3, S, S) to features (B, D), as timm's models with
            `num_classes=0` do.
        num_classes: number of classes.
        classifier: widths of the classifier's hidden layers, each with a BatchNorm; an empty tuple
            makes it linear.
        id_source: which ids the normalisers receive (domain, random or swapped); see `shown_ids`.
        bottleneck: width of a layer with BatchNorm and ReLU after the backbone; its outputs are
            then the features. 0 has none.
        num_features: of the backbone; None takes its `head_hidden_size`, or else finds it out by
            one small pass.
        pixel_mean: mean of RGB pixels in [0, 1] that the backbone expects; None takes that of its
            `pretrained_cfg`, or else ImageNet's.
        pixel_std: standard deviation of the same.
        num_domains: number of domains, whose ids are 0 to num_domains - 1.
        classifier_temperature: makes the classifier's last layer a `CosineClassifier`.

    Example:
        >>> from dacbn.models import create_backbone
        >>> network = Network(create_backbone("digits_cnn"), num_classes=10)
        >>> output = network(torch.rand(4, 3, 32, 32), cluster_ids=torch.tensor([0, 0, 1, 1]))
        >>> output.logits.shape
        torch.Size([4, 10])
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        classifier: tuple[int, ...] = (),
        id_source: IdSource = "domain",
        bottleneck: int = 0,
        num_features: int | None = None,
        pixel_mean: tuple[float, ...] | None = None,
        pixel_std: tuple[float, ...] | None = None,
        num_domains: int = NUM_DOMAINS,
        classifier_temperature: float | None = None,
    ) -> None:
        super().__init__()
        check_id_source(id_source)
        self.num_domains = num_domains
        self.id_source: IdSource = id_source
        self.backbone = backbone
        self.num_classes = num_classes
        width = num_features or getattr(backbone, "head_hidden_size", None)
        width = self.backbone_width = int(width or count_features(backbone))
        self.bottleneck = (
            nn.Sequential(nn.Linear(width, bottleneck), BatchNorm(bottleneck), nn.ReLU())
            if bottleneck
            else nn.Identity()
        )
        self.num_features = bottleneck or width
        called, temperature = spell("classifier", classifier), classifier_temperature
        self.classifier = (
            mlp(self.num_features, classifier, num_classes, True, called, temperature)
            if classifier
            else output_layer(self.num_features, num_classes, temperature)
        )
        self.unknown: nn.Linear | None = None
        self.context = share_context(backbone)
        mean, std = pixel_statistics(backbone)
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean or mean)[:, None, None])
        self.register_buffer("pixel_std", torch.tensor(pixel_std or std)[:, None, None])

    def forward(self, images: Tensor, cluster_ids: Tensor | None = None) -> Output:
        """Compute features (B, D) and logits (B, num_classes).

        Args:
            images: (B, 3, S, S), float in [0, 1]; or what `run_backbone` returned for them, which
                then does not run.
            cluster_ids: int64 (B,), usually domain ids (source 0, target 1). Only cluster-aware
                normalisers need them.

        Raises:
            RuntimeError: a layer needs cluster ids and none are given.
        """
        known = images.ndim == 2
        features = self.bottleneck(images if known else self.run_backbone(images, cluster_ids))
        return Output(features, self.classifier(features))

    def add_unknown_output(self) -> None:
        """Add an output for images of unknown classes, besides the logits, if there is none."""
        if self.unknown is None:
            self.unknown = nn.Linear(self.num_features, 1)

    def unknown_logits(self, features: Tensor) -> Tensor:
        """Compute the logits (B, 1) of being of an unknown class, from features (B, D)."""
        assert self.unknown is not None, "the network has no output for unknown classes"
        logits: Tensor = self.unknown(features)
        return logits

    def run_backbone(self, images: Tensor, cluster_ids: Tensor | None = None) -> Tensor:
        """Compute what the backbone makes of images (B, backbone_width), before a bottleneck."""
        if cluster_ids is not None and self.id_source != "domain":
            cluster_ids = shown_ids(
                cluster_ids, images, self.id_source, self.num_domains, self.training
            )
        with self.context.bind(cluster_ids):
            features: Tensor = self.backbone((images - self.pixel_mean) / self.pixel_std)
        return features


def create_network(
    backbone: str | nn.Module,
    norm: str | None,
    num_classes: int,
    pretrained: Pretrained = False,
    sites: str = "all",
    replaces: Replaces = "batch_norm",
    input_norm: str | None = None,
    classifier: tuple[int, ...] = (),
    id_source: IdSource = "domain",
    bottleneck: int = 0,
    weights: str | None = None,
    weights_sha256: str | None = None,
    pixel_mean: tuple[float, ...] | None = None,
    pixel_std: tuple[float, ...] | None = None,
    image_size: int | None = None,
    statistics: Statistics = "follow",
    num_domains: int = NUM_DOMAINS,
    classifier_temperature: float | None = None,
) -> Network:
    """Build a network whose backbone has its normalisers replaced.

    Args:
        backbone: a name, see `create_backbone`; or a module from images (B, 3, S, S) to features
            (B, D), which is copied.
        norm: see `convert_norms`; None leaves the backbone unchanged.
        num_classes: number of classes.
        pretrained: load timm's weights, before the conversion; see `create_backbone`. A module
            keeps those that it has.
        sites: which normalisers to replace; see `convert_norms`.
        replaces: which kind of layer to replace; see `convert_norms`.
        input_norm: a normaliser of the images themselves, before the backbone.
        classifier: widths of the classifier's hidden layers.
        id_source: which ids the normalisers receive; see `shown_ids`.
        bottleneck: width of a layer between backbone and classifier; 0 has none.
        weights: load this file, before the conversion; see `create_backbone`.
        weights_sha256: what the file must hash to.
        pixel_mean: see `Network`.
        pixel_std: see `Network`.
        image_size: pixels per side, for a module whose features depend on it.
        statistics: how those of the backbone's normalisers move in training; see `set_statistics`.
            Layers that replace LayerNorms have none to keep, and follow in place of "frozen".
        num_domains: number of domains; norms that receive their ids have as many clusters, if the
            norm does not say how many.
        classifier_temperature: see `Network`.

    Raises:
        OwnModuleError: the module cannot be a backbone.
        ValueError, PretrainedWeightsError: see `create_backbone` and `convert_norms`.
    """
    if isinstance(backbone, str):
        model, width = create_backbone(backbone, pretrained, weights, weights_sha256), None
    else:
        width = count_features(backbone, image_size)
        model = copy_module(backbone).cpu()
    if isinstance(backbone, str):  # faster convolutions on CPUs, whatever the images' layout
        model.to(memory_format=torch.channels_last)
    unkept = replaces == "layer_norm" and statistics == "frozen"
    if unkept:  # what takes the place of a LayerNorm has no statistics yet, and has to follow
        set_statistics(model, statistics)
    if norm is not None:
        report = convert_norms(model, clusters_for_domains(norm, num_domains), sites, replaces)
        if report.notes and (pretrained or weights):
            LOG.info(str(report))
    if not unkept:  # before a new layer at the input, which has to follow
        set_statistics(model, statistics)
    if input_norm is not None:
        convert_norms(model, clusters_for_domains(input_norm, num_domains), "input")
    return Network(
        *(model, num_classes, classifier, id_source, bottleneck, width, pixel_mean, pixel_std),
        num_domains=num_domains,
        classifier_temperature=classifier_temperature,
    )
