"""DomainAdapter: a classifier of the target from labelled source and unlabelled target images."""

import dataclasses
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dacbn.batch import Output
from dacbn.datasets import (
    Images,
    LabelledLike,
    UnlabelledLike,
    check_same_classes,
    iterate,
    size_of,
    to_labelled,
    to_unlabelled,
)
from dacbn.methods.method import TARGET
from dacbn.models import Network
from dacbn.norms import recalibrate
from dacbn.training import (
    CONFIG,
    Card,
    InterruptedTraining,
    Records,
    StorageError,
    TrainConfig,
    TrainingDomains,
    build_network,
    check_names,
    check_resumable,
    choose_device,
    create_state,
    evaluate,
    load_checkpoint,
    load_weights,
    read_card,
    reading_options,
    run_network,
    save_network,
    train,
    write_card,
)

SMALLEST_SIDE = 32  # smaller images are enlarged: backbones halve them several times
BATCH_SIZE = 256  # of images to estimate statistics on
IN_MEMORY = "in memory"  # what a run folder calls a domain that has no name


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
        ValueError: there is no such option, norm or method; the text names the nearest.

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
        check_names(self.config)
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
            resume: go on with the training that `run` holds, if it holds one.

        Raises:
            ValueError: domains or settings that do not work; the text says why.
            DivergedError: a loss became infinite or NaN.
            InterruptedTraining: on Ctrl-C, after a checkpoint in `run`; the network of that moment
                is ready to predict.
            StorageError: `run` cannot be written, or its disk is full.
        """
        folder = Path(run) if run is not None else None
        if folder is None and resume:
            raise ValueError("resume=True goes on with a run: give its folder as run=")
        if folder is not None and not resume and (folder / CONFIG).exists():
            raise ValueError(f"{folder} holds a run: pass resume=True, or name another folder")
        config = self.config = dataclasses.replace(
            self.config, source=_name_of(source), target=_name_of(target)
        )
        device = choose_device(config.device)
        self._size = config.image_size or max(SMALLEST_SIDE, size_of(source), size_of(target))
        domains = TrainingDomains.read(config, self._size, source, target, source_test, target_test)
        self._classes = domains.source.classes
        checkpoint = load_checkpoint(folder) if folder is not None and resume else None
        if folder is not None and checkpoint is not None:
            check_resumable(folder, config)
        state = create_state(config, len(self._classes), self._size, device, checkpoint)
        if folder is not None:
            write_card(folder, Card(self.config, self.classes, self._size))
        with Records(folder, state.step, config.tensorboard) as records:
            self.records = records.rows
            try:
                train(
                    state,
                    domains.stream(config, device, state.method.wants_strong_views),
                    config,
                    records,
                    folder,
                    domains.scorer(device),
                )
            except (InterruptedTraining, StorageError):
                self._network = state.network.eval()  # what was learned until then is of use
                raise
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
        images = to_labelled(test, self._size, False, self.classes, **reading_options(self.config))
        check_same_classes(self.classes, images.classes)
        return evaluate(network, images, cluster_id, next(network.parameters()).device)

    def recalibrate(self, images: UnlabelledLike, cluster_id: int = TARGET) -> Self:
        """Estimate the running statistics anew, as AdaBN does with the target's images.

        Args:
            images: an array, a list of files, a folder, a domain, or the name of a dataset, of
                which the part that is trained on is taken.
            cluster_id: the population they are taken for: target 1, source 0.
        """
        network = self.network
        device = next(network.parameters()).device
        batches = iterate(self.images_of(images, train=True), BATCH_SIZE, device, seed=0)
        recalibrate(network, batches, cluster_id)
        return self

    def images_of(self, data: UnlabelledLike, train: bool = False) -> Images:
        """Read images as the network sees them, before augmentation.

        Args:
            data: an array, a list of files, a folder, a dataset's name, or a domain.
            train: of a name or folder, the part that is trained on instead of the test part.
        """
        return to_unlabelled(data, self._size, train, **reading_options(self.config)).images

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json and model.safetensors into a folder, for `from_pretrained`."""
        network = self.network
        write_card(Path(path), Card(self.config, self.classes, self._size))
        save_network(Path(path), network)

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
        adapter._network = build_network(adapter.config, len(adapter.classes))
        load_weights(Path(path), adapter._network)
        adapter._network.to(choose_device(device)).eval()
        return adapter

    @classmethod
    def from_run(cls, path: str | Path) -> Self:
        """Read the settings of a run, without its weights, to resume it by `fit`.

        Raises:
            RunFolderError: the folder holds no run.
        """
        card = read_card(Path(path))
        adapter = cls(**vars(card.config))
        adapter._classes, adapter._size = card.classes, card.image_size
        return adapter

    def _run(self, images: UnlabelledLike, cluster_id: int) -> Output:
        network = self.network
        device = next(network.parameters()).device
        return run_network(network, self.images_of(images), cluster_id, device)


def _name_of(data: LabelledLike | UnlabelledLike) -> str:
    """Return what the settings call a domain, so that a run folder never names another one."""
    return str(data) if isinstance(data, str | Path) else IN_MEMORY
