"""DomainAdapter: a classifier of the target from labelled source and unlabelled target images."""

import dataclasses
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from dacbn.batch import Batch, Output
from dacbn.datasets import (
    Family,
    LabelledImages,
    LabelledLike,
    UnlabelledImages,
    UnlabelledLike,
    check_same_classes,
    place_images,
    shows_photos,
    size_of,
    stream_batches,
    to_labelled,
    to_unlabelled,
)
from dacbn.methods import Method, methods
from dacbn.methods.method import SOURCE, TARGET
from dacbn.models import Network, create_network
from dacbn.registry import parse_spec
from dacbn.training import (
    Records,
    RunFolderError,
    TrainConfig,
    TrainingState,
    choose_device,
    evaluate,
    load_checkpoint,
    load_weights,
    read_card,
    run_network,
    save_network,
    train,
)

SMALLEST_SIDE = 32  # smaller images are enlarged: backbones halve them several times


class NotFittedError(RuntimeError):
    """Something was asked of an adapter that has not been trained."""


class DomainAdapter:
    """A classifier trained on labelled source images for unlabelled target images.

    Args:
        backbone: "digits_cnn", or the name of any timm model with BatchNorm.
        norm: what replaces its BatchNorms, as "ucb_norm" or "ucb_norm(num_clusters=5)"; None
            leaves them.
        method: how to adapt, as "dann" or "dann(weight=0.1)".
        options: any other field of `TrainConfig`, such as `steps`, `lr`, `seed` or `device`.

    Raises:
        ValueError: there is no such option, norm, method or backbone; the text names the nearest.

    Attributes:
        config: the settings.
        network: the trained `Network`; `network.backbone` is a plain module to take away.
        classes: class names, in the order of the logits.
        records: what was logged while training, a list of dictionaries.
    """

    def __init__(
        self,
        backbone: str = TrainConfig.backbone,
        norm: str | None = TrainConfig.norm,
        method: str = TrainConfig.method,
        **options: Any,
    ) -> None:
        self.config = TrainConfig.from_options(
            backbone=backbone, norm=norm, method=method, **options
        )
        self.records: list[dict[str, Any]] = []
        self._network: Network | None = None
        self._classes: tuple[str, ...] = ()
        self._size = 0

    @property
    def network(self) -> Network:
        """The trained network.

        Raises:
            NotFittedError: there is none yet.
        """
        if self._network is None:
            raise NotFittedError("this adapter is not trained: call fit or from_pretrained first")
        return self._network

    @property
    def image_size(self) -> int:
        """Pixels per side to which all images are brought; 0 before training."""
        return self._size

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self._classes

    def fit(
        self,
        source: LabelledLike,
        target: UnlabelledLike,
        *,
        source_test: LabelledLike | None = None,
        target_test: LabelledLike | None = None,
        run: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on labelled source and unlabelled target images.

        The target's labels, if it has any, are dropped before training sees it. The test domains
        are scored now and then for the records, and influence nothing.

        Args:
            source: a dataset's name, a folder per class, a pair (images, labels), or a domain.
            target: the same, or images without labels.
            source_test: labelled source images to score on.
            target_test: labelled target images to score on.
            run: folder for checkpoints, records and the trained network; None writes no files.
            resume: go on with the training that `run` holds.

        Raises:
            ValueError: domains or settings that do not work; the text says why.
            DivergedError: a loss became infinite or NaN.
            InterruptedTraining: on Ctrl-C, after a checkpoint in `run`.
        """
        config, folder = self.config, Path(run) if run is not None else None
        self._size = config.image_size or max(SMALLEST_SIDE, size_of(source), size_of(target))
        source_images, target_images = self._labelled(source), self._unlabelled(target)
        tests = {
            name: (self._labelled(data, train=False), cluster_id)
            for name, data, cluster_id in (
                ("source_test", source_test, SOURCE),
                ("target_test", target_test, TARGET),
            )
            if data is not None
        }
        for test, _ in tests.values():
            check_same_classes(source_images.classes, test.classes)
        self._classes = source_images.classes

        family = config.augment
        if family == "auto":
            family = "photos" if shows_photos(source) and shows_photos(target) else "digits"
        checkpoint = load_checkpoint(folder) if folder is not None and resume else None
        device = choose_device(config.device)
        state = self._start(device, checkpoint)
        first = checkpoint["step"] if checkpoint else 0
        with Records(folder, first, config.tensorboard) as records:
            self.records = records.rows
            train(
                state,
                self._stream(source_images, target_images, device, family),
                config,
                records,
                folder,
                self._saver(folder) if folder is not None else None,
                lambda network: {
                    f"{name}_{measure}": score
                    for name, (test, cluster_id) in tests.items()
                    for measure, score in evaluate(network, test, cluster_id, device).items()
                },
            )
        self._network = state.network.eval()
        return self

    def predict_proba(
        self, images: UnlabelledLike, cluster_id: int = TARGET
    ) -> NDArray[np.float32]:
        """Compute class probabilities (N, num_classes) of images.

        Args:
            images: an array, a list of files, a folder, or a domain.
            cluster_id: the population they are taken for: target 1, source 0.
        """
        probabilities: NDArray[np.float32] = self._run(images, cluster_id).logits.softmax(1).numpy()
        return probabilities

    def predict(self, images: UnlabelledLike, cluster_id: int = TARGET) -> NDArray[np.int64]:
        """Predict the labels (N,) of images: positions in `classes`."""
        labels: NDArray[np.int64] = self.predict_proba(images, cluster_id).argmax(1)
        return labels

    def transform(self, images: UnlabelledLike, cluster_id: int = TARGET) -> NDArray[np.float32]:
        """Compute the features (N, D) of images."""
        features: NDArray[np.float32] = self._run(images, cluster_id).features.numpy()
        return features

    def score(self, test: LabelledLike, cluster_id: int = TARGET) -> float:
        """Compute the accuracy on labelled images."""
        return self.evaluate(test, cluster_id)["accuracy"]

    def evaluate(self, test: LabelledLike, cluster_id: int = TARGET) -> dict[str, float]:
        """Compute the accuracy over images and its mean over classes."""
        network = self.network
        images = self._labelled(test, train=False)
        check_same_classes(self.classes, images.classes)
        return evaluate(network, images, cluster_id, next(network.parameters()).device)

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json and model.safetensors into a folder, for `from_pretrained`."""
        self._saver(Path(path))(self.network)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str = "auto", data_root: Path | None = None
    ) -> Self:
        """Load what `save_pretrained`, or a training with a run folder, has written.

        Args:
            path: that folder.
            device: where to compute.
            data_root: where named datasets lie now; None means where they lay in training.

        Raises:
            RunFolderError: the folder holds no such thing.
        """
        adapter = cls.from_run(path)
        if data_root is not None:
            adapter.config = dataclasses.replace(adapter.config, data_root=data_root)
        adapter._network = adapter._build(pretrained=False)
        load_weights(Path(path), adapter._network)
        adapter._network.to(choose_device(device)).eval()
        return adapter

    @classmethod
    def from_run(cls, path: str | Path) -> Self:
        """Read the settings of a run, without its weights, to resume it by `fit`."""
        card = read_card(Path(path))
        try:
            config = TrainConfig.from_json(card["training"])
            classes, size = tuple(card["classes"]), int(card["image_size"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunFolderError(
                f"{path}/config.json is not one that dacbn wrote: {error}"
            ) from None
        adapter = cls(**vars(config))
        adapter._classes, adapter._size = classes, size
        return adapter

    def _run(self, images: UnlabelledLike, cluster_id: int) -> Output:
        network = self.network
        device = next(network.parameters()).device
        return run_network(
            network, self._unlabelled(images, train=False).images, cluster_id, device
        )

    def _labelled(self, data: LabelledLike, train: bool = True) -> LabelledImages:
        return to_labelled(data, self._size, train, **self._loading())

    def _unlabelled(self, data: UnlabelledLike, train: bool = True) -> UnlabelledImages:
        return to_unlabelled(data, self._size, train, **self._loading())

    def _loading(self) -> dict[str, Any]:
        config = self.config
        return {
            "root": config.data_root,
            "download": config.download,
            "on_unreadable": config.on_unreadable,
        }

    def _build(self, pretrained: bool) -> Network:
        config = self.config
        return create_network(
            config.backbone, config.norm, len(self.classes), pretrained, config.norm_sites
        )

    def _start(self, device: torch.device, checkpoint: dict[str, Any] | None) -> TrainingState:
        torch.manual_seed(self.config.seed)
        name, options = parse_spec(self.config.method)
        kind = methods[name]
        network = self._build(self.config.pretrained and checkpoint is None)
        method: Method = kind(network, **options).to(device)
        state = TrainingState.create(method, self.config)
        if checkpoint is not None:
            state.load_state_dict(checkpoint)
        return state

    def _stream(
        self,
        source: LabelledImages,
        target: UnlabelledImages,
        device: torch.device,
        family: Family,
    ) -> Callable[[int], Iterator[Batch]]:
        config = self.config
        strong = methods[parse_spec(config.method)[0]].wants_strong_views
        source = LabelledImages(place_images(source.images, device), source.labels, source.classes)
        target = UnlabelledImages(place_images(target.images, device))
        return lambda start: stream_batches(
            source,
            target,
            source_batch_size=config.source_batch_size,
            target_batch_size=config.target_batch_size,
            family=family,
            strong=strong,
            seed=config.seed,
            device=device,
            start=start,
            stop=config.steps,
        )

    def _saver(self, folder: Path) -> Callable[[Network], None]:
        card = {
            "classes": list(self.classes),
            "image_size": self._size,
            "training": self.config.to_json(),
            "versions": {
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "timm": timm.__version__,
            },
        }
        return lambda network: save_network(folder, network, card)
