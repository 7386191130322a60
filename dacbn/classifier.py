"""Predictions, features and scores of a trained classifier for any image input."""

from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dacbn.answers import NO_LABEL, Answer, in_place
from dacbn.batch import Output
from dacbn.datasets import (
    POSITIONS,
    UNKNOWN,
    EveryImage,
    Images,
    LabelledImages,
    LabelledLike,
    OnUnreadable,
    UnlabelledLike,
    iterate,
    read_every,
    to_labelled,
    to_labels,
    to_unlabelled,
)
from dacbn.label_shift import HeldOut
from dacbn.models import Network
from dacbn.norms import recalibrate, require_statistics
from dacbn.scikit_learn import NotFittedError as NotFittedError
from dacbn.scikit_learn import ScikitLearnProtocol
from dacbn.training import (
    LabelShift,
    TrainConfig,
    answering_ids,
    infer,
    one_domain,
    reading_options,
    score_answers,
)
from dacbn.training.unknown import answer, choose_threshold, require_threshold

BATCH_SIZE = 256  # for estimating statistics


class Classifier(ScikitLearnProtocol):
    """A network for images of one size, with the names of its classes.

    Predictions have a row for every image, in the order of an array or list; images of a folder, at
    any depth, are sorted by path. One image may be a path, a picture of Pillow or an array
    (H, W, 3). `dacbn.datasets.list_images(folder)` lists the files of the rows.

    Methods with an argument `adapt` take a test-time method such as "tent", "tent(lr=0.01)" or
    "sar". It adapts a copy of the network to the images while predicting: results depend on all
    images of the call, and the network is not changed. A call with fewer than 64 images relies on
    the statistics of training, with a warning; one with a single image does not adapt.

    Methods with an argument `label_shift` take "em" or "bbse", which estimates the shares of the
    classes from all images of the call, and corrects their probabilities for these shares.

    The argument `on_unreadable` says what becomes of files that cannot be read: "skip" warns and
    leaves their rows without an answer, "raise" raises; None takes the setting of the training.

    Attributes:
        config: the settings of its training.
        held_out: outputs of the network on held-out source images; None without any.
    """

    config: TrainConfig

    def __init__(self) -> None:
        self._network: Network | None = None
        self._classes = ()
        self._label_kind = POSITIONS
        self._size = 0
        self._trained_on: tuple[Path, ...] = ()
        self.held_out: HeldOut | None = None
        self._threshold: float | None = None

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
        label_shift: str | None = None,
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
        output = self.outputs(every.images, cluster_id, adapt, label_shift)
        names, places = (*self.classes, UNKNOWN), every.readable.nonzero()[:, 0].tolist()
        found = zip(places, self.labels_of(output).tolist(), output.logits.softmax(1), strict=True)
        given = {place: (names[label], row.numpy()) for place, label, row in found}
        return [
            Answer(file, *given.get(place, (None, None)), reason)
            for place, (file, reason) in enumerate(zip(every.files, every.reasons, strict=True))
        ]

    def predict_proba(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
        label_shift: str | None = None,
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
            label_shift: an estimator of the classes' shares; None does not correct. It needs
                outputs on held-out source images: see `hold_out`.

        Raises:
            NotFittedError: there is no network yet.
            UnknownNameError: there is no such test-time method or estimator.
            FileNotFoundError: a file or folder does not exist.
            ValueError: images cannot be taken or read, the network has nothing to adapt, or label
                shift cannot be corrected.
        """
        every = self._read(images, on_unreadable)
        rows = self.outputs(every.images, cluster_id, adapt, label_shift).logits.softmax(1)
        return in_place(rows, every)

    def predict(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
        label_shift: str | None = None,
    ) -> NDArray[Any]:
        """Predict the labels (N,) of images, as they stand in `classes_`.

        The label of an image that cannot be read is "" among names, and otherwise `NO_LABEL`, a
        negative number far below the range of any index. With the setting `unknown`, there is also
        the label "unknown", or the number after the largest one.
        """
        every = self._read(images, on_unreadable)
        labels = torch.full((len(every.files),), NO_LABEL)
        output = self.outputs(every.images, cluster_id, adapt, label_shift)
        labels[every.readable] = self.labels_of(output)
        return to_labels(labels.numpy(), self.classes_, NO_LABEL)

    def transform(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> NDArray[np.float32]:
        """Compute the features (N, D) of images; NaN where one cannot be read."""
        every = self._read(images, on_unreadable)
        return in_place(self.outputs(every.images, cluster_id, adapt).features, every)

    def evaluate(
        self,
        test: LabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
        label_shift: str | None = None,
    ) -> dict[str, float]:
        """Compute "accuracy" over all images and "class_accuracy", its mean over classes.

        "images" is the number of images, "classes_present" that of the classes that occur, if some
        do not. With the setting `unknown`, other classes are unknown ones, and there are
        "known_accuracy", the mean over known classes, "unknown_accuracy" and their harmonic mean,
        "h_score", if they occur.

        Of a folder, or of a list in a file, all images are scored that can be read and that were
        not trained on, as far as these came from folders and such lists; of a folder with parts,
        and of a dataset with a name, the test part. Images that you hand over yourself (arrays,
        pictures, a Python list of files, an ImageFolder) are all scored.
        """
        domain = self.labelled_of(test, on_unreadable)
        output = self.outputs(domain.images, cluster_id, adapt, label_shift)
        return score_answers(self.labels_of(output), domain.labels, len(self.classes))

    def right(self, test: LabelledLike, cluster_id: int | str | None = None) -> NDArray[np.bool_]:
        """Return whether each image that `evaluate` scores is answered rightly (N,)."""
        domain = self.labelled_of(test)
        answered = self.labels_of(self.outputs(domain.images, cluster_id))
        right: NDArray[np.bool_] = (answered == domain.labels.cpu()).numpy()
        return right

    def recalibrate(self, images: UnlabelledLike, cluster_id: int | str | None = None) -> Self:
        """Re-estimate the running statistics (there must be some) on images of a domain (AdaBN).

        Args:
            images: an array, a list of files, a folder, a domain, or the name of a dataset, whose
                training split is used.
            cluster_id: the domain that they are of; see `predict_proba`.
        """
        require_statistics(network := self.network)
        chosen = self.images_of(images, train=True)
        batches = iterate(chosen, BATCH_SIZE, next(network.parameters()).device, seed=0)
        recalibrate(network, batches, one_domain(answering_ids(network, self.config, cluster_id)))
        if self._threshold is not None and network.unknown is None:
            # entropies move with the statistics
            self._threshold = choose_threshold(self.outputs(chosen, cluster_id).logits)
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
        self,
        images: Images,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        label_shift: str | None = None,
    ) -> Output:
        """Compute features (N, D) and logits (N, num_classes) of images that are loaded already.

        With `label_shift`, logits are the logarithms of the corrected probabilities. Arguments and
        errors as in `predict_proba`; N may be 0.
        """
        shift = LabelShift(label_shift, self.held_out, self.classes, self.config.unknown)
        ids = answering_ids(self.network, self.config, cluster_id)
        return infer(self.network, images, ids, adapt, shift)

    def labels_of(self, output: Output) -> Tensor:
        """Return the labels of images with these outputs, int64 (N,), as `predict` does.

        Raises:
            ValueError: the network may answer "unknown", and has no threshold for it.
        """
        require_threshold(self.config.unknown, self._threshold)
        return answer(self.network, output, self._threshold)

    def _reading(self, on_unreadable: OnUnreadable | None) -> dict[str, Any]:
        if on_unreadable not in (None, *get_args(OnUnreadable)):
            raise ValueError(f'on_unreadable must be "skip" or "raise", got {on_unreadable!r}')
        given = {} if on_unreadable is None else {"on_unreadable": on_unreadable}
        return {**reading_options(self.config), **given}

    def _read(self, data: UnlabelledLike, on_unreadable: OnUnreadable | None) -> EveryImage:
        _ = self.network  # raises before any image is read
        return read_every(data, self._size, **self._reading(on_unreadable))

    def labelled_of(
        self, test: LabelledLike, on_unreadable: OnUnreadable | None = None
    ) -> LabelledImages:
        """Load labelled images at the network's size, with its classes; see `evaluate`."""
        _ = self.network  # raises before any image is read
        options = self._reading(on_unreadable)
        return to_labelled(
            *(test, self._size, False, self.classes, self.config.unknown),
            trained_on=self._trained_on,
            **options,
        )
