"""Predictions, features and scores of a trained classifier for any image input."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from dacbn.batch import TARGET, Output
from dacbn.datasets import (
    Images,
    LabelledLike,
    UnlabelledLike,
    check_same_classes,
    iterate,
    to_labelled,
    to_unlabelled,
)
from dacbn.methods import test_time_methods
from dacbn.models import Network
from dacbn.norms import recalibrate
from dacbn.training import (
    TrainConfig,
    reading_options,
    run_network,
    run_online,
    score_logits,
)

BATCH_SIZE = 256  # for estimating statistics


class NotFittedError(RuntimeError):
    """The classifier has not been trained or loaded."""


class Classifier:
    """A network for images of one size, with the names of its classes.

    Methods with an argument `adapt` take a test-time method such as "tent", "tent(lr=0.01)" or
    "sar". It adapts a copy of the network to the images while predicting: results depend on all
    images of the call, and the network is not changed. A call with fewer than 64 images relies on
    the statistics of training, with a warning; one with a single image does not adapt.

    Attributes:
        config: the settings of its training.
    """

    config: TrainConfig

    def __init__(self) -> None:
        self._network: Network | None = None
        self._classes: tuple[str, ...] = ()
        self._size = 0

    @property
    def network(self) -> Network:
        """The trained network.

        Raises:
            NotFittedError: the classifier has not been trained or loaded.
        """
        if self._network is None:
            raise NotFittedError("this adapter is not trained: call fit or from_pretrained first")
        return self._network

    @property
    def image_size(self) -> int:
        """Pixels per side to which all images are resized; 0 before training."""
        return self._size

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self._classes

    def predict_proba(
        self, images: UnlabelledLike, cluster_id: int = TARGET, adapt: str | None = None
    ) -> NDArray[np.float32]:
        """Compute class probabilities (N, num_classes) of images.

        Args:
            images: an array, a list of files, a folder, or a domain.
            cluster_id: the domain id passed to the normalisers (source 0, target 1).
            adapt: a test-time method; None does not adapt.

        Raises:
            NotFittedError: there is no network yet.
            UnknownNameError: there is no such test-time method.
            ValueError: images cannot be read, or the network has nothing to adapt.
        """
        logits = self._run(images, cluster_id, adapt).logits
        probabilities: NDArray[np.float32] = logits.softmax(1).numpy()
        return probabilities

    def predict(
        self, images: UnlabelledLike, cluster_id: int = TARGET, adapt: str | None = None
    ) -> NDArray[np.int64]:
        """Predict the labels (N,) of images, as indices into `classes`."""
        labels: NDArray[np.int64] = self.predict_proba(images, cluster_id, adapt).argmax(1)
        return labels

    def transform(
        self, images: UnlabelledLike, cluster_id: int = TARGET, adapt: str | None = None
    ) -> NDArray[np.float32]:
        """Compute the features (N, D) of images."""
        output = self._run(images, cluster_id, adapt)
        features: NDArray[np.float32] = output.features.numpy()
        return features

    def score(
        self, test: LabelledLike, cluster_id: int = TARGET, adapt: str | None = None
    ) -> float:
        """Compute the accuracy on labelled images."""
        return self.evaluate(test, cluster_id, adapt)["accuracy"]

    def evaluate(
        self, test: LabelledLike, cluster_id: int = TARGET, adapt: str | None = None
    ) -> dict[str, float]:
        """Compute "accuracy" over all images and "class_accuracy", its mean over classes."""
        _ = self.network  # raises before any image is read
        images = to_labelled(test, self._size, False, self.classes, **reading_options(self.config))
        check_same_classes(self.classes, images.classes)
        return score_logits(self._run(images, cluster_id, adapt).logits, images.labels)

    def recalibrate(self, images: UnlabelledLike, cluster_id: int = TARGET) -> Self:
        """Re-estimate the running statistics on images, usually of the target (AdaBN).

        Args:
            images: an array, a list of files, a folder, a domain, or the name of a dataset, whose
                training split is used.
            cluster_id: the domain id passed to the normalisers (source 0, target 1).
        """
        network = self.network
        device = next(network.parameters()).device
        batches = iterate(self.images_of(images, train=True), BATCH_SIZE, device, seed=0)
        recalibrate(network, batches, cluster_id)
        return self

    def images_of(self, data: UnlabelledLike, train: bool = False) -> Images:
        """Load images at the network's size, without augmentation.

        Args:
            data: an array, a list of files, a folder, a dataset's name, or a domain.
            train: use the training split of a name or folder instead of the test split.
        """
        return to_unlabelled(data, self._size, train, **reading_options(self.config)).images

    def _run(self, data: UnlabelledLike, cluster_id: int, adapt: str | None) -> Output:
        network = self.network
        device = next(network.parameters()).device
        if adapt is None:
            return run_network(network, self.images_of(data), cluster_id, device)
        method = test_time_methods.build(adapt, network)
        return run_online(method, self.images_of(data), cluster_id, device)
