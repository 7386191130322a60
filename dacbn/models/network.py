"""A backbone plus classifier: `forward(images, cluster_ids)`."""

import torch
from torch import Tensor, nn

from dacbn.batch import NUM_DOMAINS, Output
from dacbn.models.backbones import create_backbone, pixel_statistics
from dacbn.models.convert import convert_norms
from dacbn.models.heads import mlp
from dacbn.models.id_source import IdSource, check_id_source, shown_ids
from dacbn.models.sites import Replaces
from dacbn.norms import share_context
from dacbn.spelling import spell


class Network(nn.Module):
    """Classify images; all cluster-aware layers of the backbone read the ids given to `forward`.

    Args:
        backbone: maps images (B, 3, S, S) to features (B, head_hidden_size), as timm's models with
            `num_classes=0` do. It expects pixels standardised by `pixel_mean` and `pixel_std`.
        num_classes: number of classes.
        classifier: widths of the classifier's hidden layers, each with a BatchNorm; an empty tuple
            makes it linear.
        id_source: which ids the normalisers receive (domain, random or swapped); see `shown_ids`.

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
    ) -> None:
        super().__init__()
        check_id_source(id_source)
        self.id_source: IdSource = id_source
        self.backbone = backbone
        self.num_classes = num_classes
        self.num_features = int(backbone.head_hidden_size)  # type: ignore[arg-type]
        self.classifier = (
            mlp(self.num_features, classifier, num_classes, True, spell("classifier", classifier))
            if classifier
            else nn.Linear(self.num_features, num_classes)
        )
        self.context = share_context(backbone)
        mean, std = pixel_statistics(backbone)
        self.register_buffer("pixel_mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("pixel_std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor, cluster_ids: Tensor | None = None) -> Output:
        """Compute features (B, D) and logits (B, num_classes).

        Args:
            images: (B, 3, S, S), float in [0, 1].
            cluster_ids: int64 (B,), usually domain ids (source 0, target 1). Only cluster-aware
                normalisers need them.

        Raises:
            RuntimeError: a layer needs cluster ids and none are given.
        """
        if cluster_ids is not None and self.id_source != "domain":
            cluster_ids = shown_ids(cluster_ids, images, self.id_source, NUM_DOMAINS, self.training)
        with self.context.bind(cluster_ids):
            features = self.backbone((images - self.pixel_mean) / self.pixel_std)
        return Output(features, self.classifier(features))


def create_network(
    backbone: str,
    norm: str | None,
    num_classes: int,
    pretrained: bool = False,
    sites: str = "all",
    replaces: Replaces = "batch_norm",
    input_norm: str | None = None,
    classifier: tuple[int, ...] = (),
    id_source: IdSource = "domain",
) -> Network:
    """Build a network whose backbone has its normalisers replaced.

    Args:
        backbone: see `create_backbone`.
        norm: see `convert_norms`; None leaves the backbone unchanged.
        num_classes: number of classes.
        pretrained: load timm's weights, before the conversion.
        sites: which normalisers to replace; see `convert_norms`.
        replaces: which kind of layer to replace; see `convert_norms`.
        input_norm: a normaliser of the images themselves, before the backbone.
        classifier: widths of the classifier's hidden layers.
        id_source: which ids the normalisers receive; see `shown_ids`.
    """
    model = create_backbone(backbone, pretrained)
    if norm is not None:
        convert_norms(model, norm, sites, replaces)
    if input_norm is not None:
        convert_norms(model, input_norm, "input")
    return Network(model, num_classes, classifier, id_source)
