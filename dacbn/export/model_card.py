"""The model card of a trained network, with the metadata that the Hugging Face hub reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacbn.export.published_settings import published_name
from dacbn.export.scores import Score
from dacbn.intervals import wilson
from dacbn.methods import methods, source_free_methods
from dacbn.models.own_backbones import own_backbones
from dacbn.norms import norms, weights
from dacbn.registry import Registry
from dacbn.spec import Spec
from dacbn.training import RunInfo, TrainConfig, name_places
from dacbn.training.against import Beside, describe_against
from dacbn.training.storage import write_text

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

SHOWN_CLASSES = 50
HUB = "hf:"  # before the name of a dataset on the hub
FITS = {"crop": "the centre is taken", "pad": "the rest is black", "squeeze": "both sides shrink"}


def write_card(
    path: Path,
    info: RunInfo,
    scores: Sequence[Score],
    licence: str | None = None,
    beside: Sequence[Beside] = (),
) -> None:
    """Write the card.

    Args:
        path: README.md.
        info: settings without paths of this machine.
        scores: of the training.
        licence: identifier of the hub, or None.
        beside: how far the run is from its baselines.

    Raises:
        StorageError: the file cannot be written.
    """
    from huggingface_hub import ModelCard

    config = info.config
    name = f"{config.backbone} for {config.domains}"
    metadata = _metadata(name, config, scores, licence).to_yaml()
    parts = [f"---\n{metadata}\n---", f"# {name}", _data(info), _network(config)]
    parts += [_training(config), _results(scores, len(info.classes), beside), _use(info)]
    parts += [f"## Licence\n\n{licence or 'None was given.'}"]
    write_text(path, str(ModelCard("\n\n".join(parts) + "\n")))


def _metadata(
    name: str, config: TrainConfig, scores: Sequence[Score], licence: str | None
) -> "ModelCardData":
    from huggingface_hub import EvalResult, ModelCardData

    places = (*config.source, *config.target)
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=score.domain,
            dataset_name=score.domain,
            dataset_split="test",
            metric_type="accuracy",
            metric_value=round(score.accuracy, 6),
        )
        for score in scores
    ]
    return ModelCardData(
        license=licence,
        library_name="dacbn",
        pipeline_tag="image-classification",
        tags=["domain-adaptation", "pytorch", *_tags(config.backbone)],
        base_model=_base_model(config),
        datasets=[place.removeprefix(HUB) for place in places if place.startswith(HUB)] or None,
        metrics=["accuracy"] if results else None,
        model_name=name,
        eval_results=results or None,
    )


def _tags(backbone: str) -> list[str]:
    return [] if backbone in own_backbones else ["timm"]


def _base_model(config: TrainConfig) -> str | None:
    """Return the name on the hub of the weights that the training started from."""
    import timm

    if not config.pretrained:
        return None
    published = timm.get_pretrained_cfg(config.backbone)
    return None if published is None else published.hf_hub_id


def _data(info: RunInfo) -> str:
    config, count = info.config, len(info.config.source)
    names = [published_name(name) for name in name_places(config)]
    sources, targets = ", ".join(names[:count]), ", ".join(names[count:])
    text = f"An image classifier, trained by dacbn on labelled images of {sources}"
    text += f" and unlabelled images of {targets}" if targets else ""
    text += "; a few of these were labelled" if config.target_labelled else ""
    classes = ", ".join(info.classes[:SHOWN_CLASSES])
    more = ", …" if len(info.classes) > SHOWN_CLASSES else ""
    side = f"{info.image_size} x {info.image_size}"
    return f"""{text}.

- {len(info.classes)} classes: {classes}{more}
- images: RGB, resized to {side} pixels; of others than squares {FITS[config.fit]}"""


def _network(config: TrainConfig) -> str:
    start = "pretrained weights of timm" if config.pretrained else "random weights"
    start = f"the weights {config.weights}" if config.weights else start
    lines = [f"backbone: {config.backbone}, from {start}"]
    lines += [] if config.norm is None else _entries("normaliser", config.norm, norms, weights)
    if config.input_norm is not None:
        lines += _entries("normaliser of the images", config.input_norm, norms)
    widths = " and ".join(map(str, config.classifier))
    lines += [f"bottleneck: {config.bottleneck} features"] if config.bottleneck else []
    lines += [f"classifier: hidden layers of {widths}"] if widths else []
    return "## Network\n\n" + "\n".join(f"- {line}" for line in lines)


def _training(config: TrainConfig) -> str:
    lines = _entries("method", config.method, methods, source_free_methods)
    batch = f"{config.source_batch_size} source"
    batch += f" and {config.target_batch_size} target images" if config.target else " images"
    lines += [f"{config.steps} steps of {batch}, seed {config.seed}"]
    lines += ["all settings are in config.json"]
    return "## Training\n\n" + "\n".join(f"- {line}" for line in lines)


def _entries(kind: str, spec: Spec, *registries: Registry[Any]) -> list[str]:
    """Describe each term of a specification in a line."""
    lines = []
    for term in spec.terms:
        about = next(each.describe(term.name) for each in registries if term.name in each)
        paper = f" Paper: {about['paper']}" if "paper" in about else ""
        lines.append(f"{kind}: `{term}`. {about.get('does', '')}{paper}")
    return lines


def _results(scores: Sequence[Score], num_classes: int, beside: Sequence[Beside]) -> str:
    if not scores:
        return "## Scores\n\nNone were recorded."
    rows = [
        "| " + " | ".join([score.role, score.domain.replace("|", "/"), *_cells(score)]) + " |"
        for score in scores
    ]
    head = "| Role | Domain | Accuracy | Mean of classes | Test images |\n|---|---|---|---|---|"
    about = f"In brackets 95 % intervals, by Wilson. Chance reaches {1 / num_classes:.1%}."
    against = [
        f"- {describe_against(published_name(domain), baseline, found)}"
        for domain, baseline, found in beside
    ]
    table = [f"## Scores\n\nAt the end of the training. {about}\n", head, *rows]
    return "\n".join([*table, *([""] if against else []), *against])


def _cells(score: Score) -> list[str]:
    count = "not known" if score.num_images is None else f"{score.num_images:,}"
    between = ""
    if score.num_images:
        low, high = wilson(score.accuracy, score.num_images)
        between = f" ({100 * low:.1f} to {100 * high:.1f})"
    return [f"{score.accuracy:.1%}{between}", f"{score.class_accuracy:.1%}", count]


def _use(info: RunInfo) -> str:
    shape = f"(2, {info.image_size}, {info.image_size}, 3)"
    return f"""## Use

With dacbn installed, in this folder, or with its path, such as
`huggingface_hub.snapshot_download("USER/NAME")`, in place of the point:

```python
import numpy as np
from dacbn import DomainAdapter

adapter = DomainAdapter.from_pretrained(".")
images = np.zeros({shape}, dtype=np.uint8)  # or a list of files, or a folder of them
print(adapter.classes, adapter.predict_proba(images))
```"""
