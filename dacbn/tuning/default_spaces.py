"""The space that is searched where none is given."""

from dacbn.training import TrainConfig, starts_pretrained

FROM_SCRATCH = (
    "lr=log(3e-4, 3e-3) "
    "norm=[batch_norm, ucb_norm(num_clusters=2, assign='sample')] "
    "method=[dann(weight=log(0.1, 1)), mcc + dann(weight=log(0.1, 1)), mcc, adamatch]"
)
PRETRAINED = (
    "lr=log(1e-4, 1e-3) "
    "backbone_lr_factor=log(0.05, 0.5) "
    "method=[mcc + dann(weight=log(0.1, 1)), mcc, dann(weight=log(0.1, 1)), bnm, source_only]"
)
HEAD = "lr=log(1e-4, 1e-2) method=[mcc, bnm, information_maximisation, source_only]"
WITHOUT_TARGET = "lr=log(3e-4, 3e-3) weight_decay=log(1e-5, 1e-2)"


def default_space(config: TrainConfig) -> str:
    """Return the space for random weights, pretrained ones, or those that stay as they are."""
    if not config.target:
        return WITHOUT_TARGET
    if config.train == "head":
        return HEAD
    return PRETRAINED if starts_pretrained(config) else FROM_SCRATCH
