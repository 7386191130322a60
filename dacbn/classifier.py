"""Predictions, features and scores of a trained classifier for any image input."""

import logging
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dacbn.batch import Output
from dacbn.datasets import (
    EveryImage,
    Images,
    LabelledLike,
    OnUnreadable,
    UnlabelledLike,
    check_same_classes,
    iterate,
    read_every,
    to_labelled,
    to_unlabelled,
)
from dacbn.methods import test_time_methods
from dacbn.models import Network, takes_cluster_ids
from dacbn.norms import recalibrate
from dacbn.training import (
    TrainConfig,
    find_domain,
    name_domains,
    reading_options,
    run_by_domains,
    run_online,
    score_logits,
)

LOG = logging.getLogger(__name__)
BATCH_SIZE = 256  # for estimating statistics
NO_LABEL = int(np.iinfo(np.int64).min)  # of an image that cannot be read; is no index of a list


class NotFittedError(RuntimeError):
    """The classifier has not been trained or loaded."""


class Answer(NamedTuple):
    """The answer to one image.

    Attributes:
        file: its file; None for an image that came without one.
        label: name of its likeliest class; None if it cannot be read.
        probabilities: of all classes (num_classes,); None if it cannot be read.
        reason: why it cannot be read; None if it can.
    """

    file: Path | None
    label: str | None
    probabilities: NDArray[np.float32] | None
    reason: str | None

    @property
    def confidence(self) -> float | None:
        """Probability of the likeliest class."""
        return None if self.probabilities is None else float(self.probabilities.max())


class Classifier:
    """A network for images of one size, with the names of its classes.

    Predictions have a row for every image, in the order of an array or list; images of a folder, at
    any depth, are sorted by path. One image may be a path, a picture of Pillow or an array
    (H, W, 3). `dacbn.datasets.list_images(folder)` lists the files of the rows.

    Methods with an argument `adapt` take a test-time method such as "tent", "tent(lr=0.01)" or
    "sar". It adapts a copy of the network to the images while predicting: results depend on all
    images of the call, and the network is not changed. A call with fewer than 64 images relies on
    the statistics of training, with a warning; one with a single image does not adapt.

    The argument `on_unreadable` says what becomes of files that cannot be read: "skip" warns and
    leaves their rows without an answer, "raise" raises; None takes the setting of the training.

    Attributes:
        config: the settings of its training.
    """

    config: TrainConfig

    def __init__(self) -> None:
        self._network: Network | None = None
        self._classes: tuple[str, ...] = ()
        self._size = 0
        self._trained_on: tuple[Path, ...] = ()

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

    def answers(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> list[Answer]:
        """Answer every image, with the name of its file; also those that cannot be read.

        Arguments and errors as in `predict_proba`.

        Example:
            >>> from dacbn import DomainAdapter
            >>> images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
            >>> adapter = DomainAdapter(steps=1).fit((images, ["ant", "bee"]), images)
            >>> all(answer.label in ("ant", "bee") for answer in adapter.answers(images))
            True
        """
        every = self._read(images, on_unreadable)
        rows = self._run(every.images, cluster_id, adapt).logits.softmax(1)
        probabilities: list[Any] = [None] * len(every.files)
        for place, row in zip(every.readable.nonzero()[:, 0].tolist(), rows, strict=True):
            probabilities[place] = row.numpy()
        return [
            Answer(file, None if row is None else self.classes[row.argmax()], row, reason)
            for file, row, reason in zip(every.files, probabilities, every.reasons, strict=True)
        ]

    def predict_proba(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> NDArray[np.float32]:
        """Compute class probabilities (N, num_classes) of images; NaN where one cannot be read.

        Args:
            images: an array, pictures, files or a list of them, a folder, or a domain. Of a dataset
                with a name the test part is taken.
            cluster_id: the domain whose statistics the normalisers use, if they know domains: its
                name, or its id (sources first, from 0); None is the target. "average" takes the
                mean of the probabilities by the statistics of each source, for a domain that is
                none of those trained on.
            adapt: a test-time method; None does not adapt.
            on_unreadable: "skip" or "raise"; None takes the setting of the training.

        Raises:
            NotFittedError: there is no network yet.
            UnknownNameError: there is no such test-time method.
            FileNotFoundError: a file or folder does not exist.
            ValueError: images cannot be taken or read, or the network has nothing to adapt.
        """
        every = self._read(images, on_unreadable)
        rows = self._run(every.images, cluster_id, adapt).logits.softmax(1)
        return _in_place(rows, every)

    def predict(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> NDArray[np.int64]:
        """Predict the labels (N,) of images, as indices into `classes`.

        The label of an image that cannot be read is `NO_LABEL`, a negative number far below the
        range of any index.
        """
        probabilities = self.predict_proba(images, cluster_id, adapt, on_unreadable)
        labels: NDArray[np.int64] = probabilities.argmax(1)
        labels[np.isnan(probabilities[:, 0])] = NO_LABEL
        return labels

    def transform(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> NDArray[np.float32]:
        """Compute the features (N, D) of images; NaN where one cannot be read."""
        every = self._read(images, on_unreadable)
        return _in_place(self._run(every.images, cluster_id, adapt).features, every)

    def score(
        self,
        test: LabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> float:
        """Compute the accuracy on labelled images, which are chosen as by `evaluate`."""
        return self.evaluate(test, cluster_id, adapt, on_unreadable)["accuracy"]

    def evaluate(
        self,
        test: LabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> dict[str, float]:
        """Compute "accuracy" over all images and "class_accuracy", its mean over classes.

        Of a folder, or of a list in a file, all images are scored that can be read and that were
        not trained on, as far as these came from folders and such lists; of a folder with parts,
        and of a dataset with a name, the test part. Images that you hand over yourself (arrays,
        pictures, a Python list of files, an ImageFolder) are all scored.
        """
        _ = self.network  # raises before any image is read
        options = self._reading(on_unreadable)
        domain = to_labelled(
            *(test, self._size, False, self.classes), trained_on=self._trained_on, **options
        )
        check_same_classes(self.classes, domain.classes)
        return score_logits(self._run(domain.images, cluster_id, adapt).logits, domain.labels)

    def recalibrate(self, images: UnlabelledLike, cluster_id: int | str | None = None) -> Self:
        """Re-estimate the running statistics on images, usually of the target (AdaBN).

        Args:
            images: an array, a list of files, a folder, a domain, or the name of a dataset, whose
                training split is used.
            cluster_id: the domain whose statistics the normalisers use, if they know domains: its
                name, or its id (sources first, from 0); None is the target. "average" takes the
                mean of the probabilities by the statistics of each source, for a domain that is
                none of those trained on.
        """
        network = self.network
        device = next(network.parameters()).device
        batches = iterate(self.images_of(images, train=True), BATCH_SIZE, device, seed=0)
        recalibrate(network, batches, self._one(self._ids_of(cluster_id)))
        return self

    def images_of(self, data: UnlabelledLike, train: bool = False) -> Images:
        """Load images at the network's size, without augmentation.

        Args:
            data: an array, a list of files, a folder, a dataset's name, or a domain.
            train: use the training split of a name or folder; otherwise all images of a folder that
                can be read, as in `predict`.
        """
        if train:
            return to_unlabelled(data, self._size, True, **self._reading(None)).images
        return self._read(data, None).images

    def outputs(
        self, images: Images, cluster_id: int | str | None = None, adapt: str | None = None
    ) -> Output:
        """Compute features (N, D) and logits (N, num_classes) of images that are loaded already.

        Arguments and errors as in `predict_proba`; N may be 0.
        """
        return self._run(images, cluster_id, adapt)

    def _reading(self, on_unreadable: OnUnreadable | None) -> dict[str, Any]:
        if on_unreadable not in (None, *get_args(OnUnreadable)):
            raise ValueError(f'on_unreadable must be "skip" or "raise", got {on_unreadable!r}')
        given = {} if on_unreadable is None else {"on_unreadable": on_unreadable}
        return {**reading_options(self.config), **given}

    def _read(self, data: UnlabelledLike, on_unreadable: OnUnreadable | None) -> EveryImage:
        _ = self.network  # raises before any image is read
        return read_every(data, self._size, **self._reading(on_unreadable))

    def _run(self, images: Images, cluster_id: int | str | None, adapt: str | None) -> Output:
        network = self.network
        domains = self._ids_of(cluster_id)
        method = None if adapt is None else test_time_methods.build(adapt, network)
        device = next(network.parameters()).device
        if not len(images):
            return Output(torch.empty(0, network.num_features), torch.empty(0, len(self.classes)))
        if method is not None:
            return run_online(method, images, self._one(domains), device)
        return run_by_domains(network, images, domains, device)

    def _ids_of(self, domain: int | str | None) -> tuple[int, ...]:
        if not isinstance(domain, Integral | str | None):
            raise ValueError(
                f"cluster_id must be the name or number of a domain (source 0, target 1), got "
                f"{domain!r}"
            )
        found = find_domain(self.config, domain)
        if len(found) == 1 or not takes_cluster_ids(self.network):
            return found[:1]  # all answer alike
        if domain is None:
            names = ", ".join(name_domains(self.config)[: len(found)])
            LOG.info("there was no target: answers by the statistics of %s are averaged", names)
        return found

    def _one(self, domains: tuple[int, ...]) -> int:
        if len(domains) > 1:
            known = ", ".join(name_domains(self.config))
            raise ValueError(f"statistics of one domain are moved: name it, one of {known}")
        return domains[0]


def _in_place(rows: Tensor, every: EveryImage) -> NDArray[np.float32]:
    """Return rows of the readable images in the places of these among all; others are NaN."""
    placed = torch.full((len(every.files), rows.shape[1]), torch.nan)
    placed[every.readable] = rows
    result: NDArray[np.float32] = placed.numpy()
    return result
