"""scikit-learn's protocol: parameters, untrained copies, tags, and labels as they were given.

`BaseEstimator` adds metadata routing and what notebooks show. Parameters are kept as they were
given in a dictionary, not as attributes, since the name of one, `fit`, is that of a method.
"""

import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from torch import Tensor, nn

from dacbn.answers import NO_LABEL
from dacbn.datasets import (
    POSITIONS,
    LabelledLike,
    ManyImages,
    OnUnreadable,
    UnlabelledLike,
    label_values,
    to_labels,
)
from dacbn.prediction_frame import to_frame
from dacbn.training import TrainConfig

if TYPE_CHECKING:
    import pandas as pd


class NotFittedError(SklearnNotFittedError, RuntimeError):  # type: ignore[misc]  # has no types
    """The classifier has not been trained or loaded."""


class ScikitLearnProtocol(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # has no types
    """What scikit-learn's tools ask of a classifier, besides `fit`, `predict` and `score`."""

    _params: dict[str, Any]
    _module: nn.Module | None
    _chosen: TrainConfig
    _config: TrainConfig
    _classes: tuple[str, ...]
    _label_kind: str

    @property
    def classes_(self) -> NDArray[Any]:
        """The label of each class, as `predict` returns it.

        They are those that `fit` was given in a pair (images, labels); of folders, datasets and
        domains they are positions in `classes`.

        Raises:
            NotFittedError: the classifier has not been trained or loaded.
        """
        if not self._classes:
            raise NotFittedError("this adapter has no classes yet: call fit first")
        return label_values(self._label_kind, self._classes)

    def score(
        self,
        test: LabelledLike | ManyImages,
        y: ArrayLike | Tensor | str | None = None,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
        label_shift: str | None = None,
    ) -> float:
        """Compute the accuracy on labelled images, which are chosen as by `evaluate`.

        Labels may stand in `test` or, as scikit-learn gives them, in `y`.
        """
        if y is not None and np.ndim(y) == 0:  # a domain: its second argument before `y` came
            y, cluster_id = None, y
        test = test if y is None else (test, y)  # type: ignore[assignment]
        scores = self.evaluate(test, cluster_id, adapt, on_unreadable, label_shift)
        return float(scores["accuracy"])

    def fit_transform(self, source: Any, y: Any = None, **options: Any) -> NDArray[np.float32]:
        """Train as by `fit`, and compute the features (N, D) of the source's images."""
        features: NDArray[np.float32] = self.fit(source, y, **options).transform(source)
        return features

    def predict_frame(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        adapt: str | None = None,
        on_unreadable: OnUnreadable | None = None,
        label_shift: str | None = None,
    ) -> "pd.DataFrame":
        """Predict a table of pandas: path, label, confidence, error, and all probabilities.

        Labels are those of `predict`, or the names of the classes where these would be positions.
        A column of files keeps its index. Arguments and errors as in `predict_proba`.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        found = self.answers(images, cluster_id, adapt, on_unreadable, label_shift)
        names = [each.label for each in found]
        labels: Any = np.array(names, dtype=object)
        if self._label_kind != POSITIONS:
            places = {name: place for place, name in enumerate(self._classes)}
            numbers = [
                NO_LABEL if name is None else places.get(name, len(places)) for name in names
            ]
            labels = to_labels(np.array(numbers), self.classes_, NO_LABEL)
        column: Any = images
        index = column.index if hasattr(column, "iloc") else None
        return to_frame(found, labels, self._classes, index)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all settings as they were given, and the defaults of the others.

        Args:
            deep: has no effect; no setting has parameters of its own.
        """
        return dict(self._params)

    def set_params(self, **params: Any) -> Self:
        """Change settings, for the next `fit`; a trained network stays as it is until then.

        Raises:
            ValueError, OwnModuleError: as in the constructor.
        """
        if params:
            made = type(self)(**{**self._params, **params})
            self._params, self._module, self._chosen = made._params, made._module, made._chosen
            if not self.__sklearn_is_fitted__():
                self._config = made._chosen
        return self

    def __sklearn_clone__(self) -> Self:
        """Return an adapter of the same settings, without training.

        A module among the settings is copied as it was when it was given.
        """
        twin = type(self)(**self.get_params())
        if (requests := getattr(self, "_metadata_request", None)) is not None:
            twin._metadata_request = copy.deepcopy(requests)  # what `set_fit_request` was told
        return twin

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a trained network."""
        return self._network is not None

    def __sklearn_tags__(self) -> Any:
        """Say that samples are images, or names of files, and no rows of features."""
        from sklearn.utils import TransformerTags  # versions without it do not ask for tags

        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
