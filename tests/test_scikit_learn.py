"""scikit-learn's own tools take an adapter: clones, cross-validation, grids, pipelines, joblib."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
import torch
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted
from torch import nn

from dacbn import DomainAdapter

OPTIONS = {"source_batch_size": 6, "target_batch_size": 6, "device": "cpu", "validators": ()}
OPTIONS |= {"steps": 4, "norm": None, "method": "source_only", "lr": 0.01}
RANDOM = np.random.default_rng(0)
Y = np.array(["ant", "bee"])[np.arange(20) % 2]
X = (RANDOM.integers(0, 100, (20, 32, 32, 3)) + 120 * (Y == "bee")[:, None, None, None]).astype(
    "u1"
)
T = X[:13, ::-1]


def make(**options):
    return DomainAdapter(**OPTIONS | options)


def weights(adapter):
    return {name: tensor.numpy().tobytes() for name, tensor in adapter.network.state_dict().items()}


@pytest.fixture(scope="module")
def fitted():
    return make().fit(X, Y, target=T)


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / f"{number:02d}.png") for number in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    return paths


def test_parameters_stay_as_they_were_given():
    given = {"norm": "ucb_norm( num_clusters=5 )", "lr": np.float32(0.5), "data_root": "here"}
    adapter = DomainAdapter(**given, classifier=[8])
    for each in (adapter, clone(adapter)):
        found = each.get_params()
        assert {name: found[name] for name in given} == given and found["classifier"] == [8]
        assert found["method"] == "default" and found["steps"] == 600
        assert each.config.norm == "ucb_norm(num_clusters=5)"
    assert clone(DomainAdapter("resnet18", pretrained=True)).config.norm is None  # not given either


def test_a_parameter_that_is_set_counts_from_the_next_fit(fitted):
    adapter = clone(fitted).fit(X, Y, target=T)
    before, config = weights(adapter), adapter.config
    assert adapter.set_params(steps=1, seed=3) is adapter and adapter.get_params()["seed"] == 3
    assert weights(adapter) == before and adapter.config == config
    assert weights(adapter.fit(X, Y, target=T)) != before and adapter.config.seed == 3
    assert weights(adapter) == weights(make(steps=1, seed=3).fit(X, Y, target=T))
    with pytest.raises(ValueError, match="unknown option 'step'"):
        adapter.set_params(step=1)
    assert DomainAdapter().set_params(steps=3).config.steps == 3


def test_a_clone_shares_no_weights_of_a_module():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    module.append(nn.Flatten())
    adapter = make(backbone=module)
    twin = clone(adapter)
    nn.init.zeros_(module[0].weight)
    first, second = (each.get_params()["backbone"] for each in (adapter, twin))
    assert torch.equal(first[0].weight, second[0].weight) and first[0].weight.any()
    assert first[0].weight.data_ptr() != second[0].weight.data_ptr() != module[0].weight.data_ptr()
    assert weights(adapter.fit(X, Y, target=T)) == weights(twin.fit(X, Y, target=T))
    assert repr(twin) == repr(adapter)


LABELS = {
    "names": Y,
    "a list of names": Y.tolist(),
    "objects": Y.astype(object),
    "numbers": np.where(Y == "bee", 5, 3),
    "a list of numbers": np.where(Y == "bee", 5, 3).tolist(),
    "small numbers": np.where(Y == "bee", 200, 7).astype(np.uint8),
    "digits as text": np.where(Y == "bee", "10", "9"),
    "a tensor": torch.from_numpy(np.where(Y == "bee", 5, 3).astype(np.int16)),
    "a column": np.where(Y == "bee", 5, 3)[:, None],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_come_back_as_they_were_given(kind, tmp_path):
    labels = LABELS[kind]
    array = np.asarray(labels).ravel()
    adapter = make().fit(X, labels, target=T)
    adapter.save_pretrained(tmp_path)
    loaded = DomainAdapter.from_pretrained(tmp_path, device="cpu")
    for each in (adapter, loaded, pickle.loads(pickle.dumps(adapter))):
        predicted = each.predict(X)
        assert predicted.dtype == array.dtype and set(predicted) <= set(array)
        assert np.array_equal(each.classes_, [*dict.fromkeys(np.sort(array))])
        assert np.array_equal(each.classes_[each.predict_proba(X).argmax(1)], predicted)
        assert accuracy_score(array, predicted) == each.score(X, labels) == each.score((X, labels))
    assert adapter.classes == tuple(map(str, np.unique(array)))


def test_labels_of_folders_are_positions_in_classes(files, tmp_path):
    for path, name in zip(files, Y, strict=True):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        Path(path).rename(tmp_path / "photos" / name / Path(path).name)
    adapter = make(image_size=32).fit(tmp_path / "photos", T)
    assert adapter.classes == ("ant", "bee") and adapter.classes_.tolist() == [0, 1]
    assert set(adapter.predict(X)) <= {0, 1} and adapter.predict(X).dtype == np.int64


def test_both_forms_of_fit_train_alike(fitted):
    expected = weights(fitted)
    assert weights(make().fit((X, Y), T)) == weights(make().fit((X, Y), target=T)) == expected
    assert weights(make().fit(source=(X, Y), target=T)) == expected
    assert weights(make().fit(torch.from_numpy(X), Y.tolist(), target=T)) == expected
    alone = make().fit(X, Y, target=None)
    assert alone.config.target == () and weights(alone) == weights(make().fit((X, Y), None))


def test_the_target_may_be_a_setting(files):
    folder = Path(files[0]).parent
    adapter = make(target=str(folder), image_size=32)
    scores = cross_val_score(adapter, X, Y, cv=2)
    assert (scores > 0.5).all() and adapter.fit(X, Y).config.target == (str(folder),)
    assert make(target="none").fit(X, Y).config.target == ()


def test_labels_of_the_target_do_not_reach_the_training(fitted):
    for labels in (["bee"] * 13, [7] * 13, RANDOM.permutation(Y[:13])):
        assert weights(make().fit(X, Y, target=(T, labels))) == weights(fitted)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, Y), {}, "labels and no target: call fit.images, labels, target=target"),
        ((X,), {"target": T}, "images and no labels"),
        ((X, None), {"target": T}, "images and no labels"),
        ((X, T), {}, "images and no labels: call fit..images, labels., target"),
        (((X, Y),), {}, "there is no target: call fit.source, target"),
        (((X, Y), T), {"target": T}, "the target is given twice"),
        ((list(X), Y), {"target": T}, r"cannot take images from list: pass np\.stack"),
        ((X, Y), {"target": list("folders")}, "came as 7 letters.*pass pathlib.Path"),
    ],
)
def test_a_call_that_lacks_something_says_so(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        make().fit(*arguments, **options)


def test_scores_of_cross_validation_are_those_of_the_folds_by_hand():
    folds = [(np.arange(10), np.arange(10, 20)), (np.arange(10, 20), np.arange(10))]
    expected = [make().fit((X[a], Y[a]), T).score((X[b], Y[b])) for a, b in folds]
    params = {"target": T}
    for scoring in (None, "accuracy"):
        found = cross_val_score(make(), X, Y, cv=folds, params=params, scoring=scoring)
        assert found.tolist() == expected
    predicted = cross_val_predict(make(), X, Y, cv=folds, params=params)
    assert [accuracy_score(Y[b], predicted[b]) for _, b in folds] == expected


def test_lists_of_files_are_cross_validated_as_their_images(files):
    options = {"cv": 2, "params": {"target": T}, "error_score": "raise"}
    expected = cross_val_score(make(), X, Y, **options)
    for column in (files, np.array(files)):
        found = cross_val_score(make(image_size=32), column, Y.tolist(), **options)
        assert found.shape == expected.shape and (found > 0.5).all()


def test_a_grid_finds_the_better_setting():
    grid = {"lr": [0.01, 1e-6], "norm": [None, "ucb_norm(num_clusters=2)"]}
    search = GridSearchCV(make(), grid, cv=2, error_score="raise").fit(X, Y, target=T)
    assert search.best_params_["lr"] == 0.01 and search.best_score_ == 1
    assert [each["norm"] for each in search.cv_results_["params"]] == [*grid["norm"]] * 2
    assert search.classes_.tolist() == ["ant", "bee"] and search.score(X, Y) == 1
    assert search.best_estimator_.config.lr == 0.01


def test_a_target_in_a_list_is_not_cut(monkeypatch, files):
    """Where an argument of `fit` has an item for each image, folds get their part of it."""
    seen, fit = [], DomainAdapter.fit

    def watch(self, source, y, target):
        seen.append(target)
        return fit(self, source, y, target=target)

    monkeypatch.setattr(DomainAdapter, "fit", watch)
    for target in (X, [X], [files], X[:19]):
        seen.clear()
        options = {"cv": 2, "params": {"target": target}, "error_score": "raise"}
        cross_val_score(make(image_size=32), X, Y, **options)
        assert len(seen) == 2
        for each in seen:
            assert len(each) == 10 if target is X else each is target


def invert(images):
    return 255 - images


def test_an_adapter_is_the_last_step_of_a_pipeline(fitted):
    steps = [("invert", FunctionTransformer(invert)), ("adapter", make())]
    pipeline = Pipeline(steps).fit(invert(X), Y, adapter__target=T)
    assert weights(pipeline[-1]) == weights(fitted)
    assert np.array_equal(pipeline.predict(invert(X)), fitted.predict(X))
    assert pipeline.set_params(adapter__steps=2).get_params()["adapter__steps"] == 2
    scores = cross_val_score(pipeline, invert(X), Y, cv=2, params={"adapter__target": T})
    assert scores.shape == (2,) and pipeline.classes_.tolist() == ["ant", "bee"]


@pytest.mark.skipif(sklearn.__version__ < "1.6", reason="scikit-learn 1.6 has transform_input")
def test_a_pipeline_transforms_the_target_where_metadata_is_routed(fitted):
    with sklearn.config_context(enable_metadata_routing=True):
        adapter = make().set_fit_request(target=True)
        steps = [("invert", FunctionTransformer(invert)), ("adapter", adapter)]
        pipeline = Pipeline(steps, transform_input=["target"])
        pipeline.fit(invert(X), Y, target=invert(T))
        assert weights(pipeline[-1]) == weights(fitted)
        search = GridSearchCV(clone(adapter), {"lr": [0.01]}, cv=2).fit(X, Y, target=T)
        assert weights(search.best_estimator_) == weights(fitted)
        with pytest.raises(ValueError, match="not explicitly set as requested or not"):
            GridSearchCV(make(), {"lr": [0.01]}, cv=2).fit(X, Y, target=T)


def test_features_are_a_step_before_another_classifier(fitted):
    steps = Pipeline([("features", make()), ("neighbours", KNeighborsClassifier(1))])
    steps.fit(X, Y, features__target=T)
    assert np.array_equal(steps.predict(X), Y)
    assert np.array_equal(make().fit_transform(X, Y, target=T), fitted.transform(X))


@pytest.mark.parametrize("norm", [None, "ucb_norm", "domain_specific_batch_norm", "kalman_norm"])
def test_a_fitted_adapter_is_pickled(tmp_path, norm):
    adapter = make(norm=norm).fit(X, Y, target=T)
    joblib.dump(adapter, tmp_path / "adapter.joblib")
    for again in (pickle.loads(pickle.dumps(adapter)), joblib.load(tmp_path / "adapter.joblib")):
        assert np.array_equal(again.predict_proba(T), adapter.predict_proba(T))
        assert weights(again.fit(X, Y, target=T)) == weights(adapter)


@pytest.mark.slow
def test_fitted_adapters_come_back_from_other_processes():
    options = {"cv": 2, "n_jobs": 2, "return_estimator": True, "params": {"target": T}}
    found = cross_validate(make(), X, Y, **options)
    assert [each.predict(X).tolist() for each in found["estimator"]] == [Y.tolist()] * 2


def test_what_scikit_learn_asks_of_a_classifier_is_answered(fitted):
    untrained = make()
    assert is_classifier(untrained) and not hasattr(untrained, "classes_")
    assert not hasattr(untrained, "n_features_in_") and "network" not in dir(untrained)
    for ask in (check_is_fitted, lambda each: each.predict(X), lambda each: each.classes_):
        with pytest.raises(NotFittedError):
            ask(untrained)
    check_is_fitted(fitted)
    train, test, known, wanted = train_test_split(X, Y, random_state=0, stratify=Y)
    assert make().fit(train, known, target=T).score(test, wanted) == 1
    assert fitted.score((X, Y), 0) == fitted.score(X, Y, cluster_id=0)  # a domain, by position


def test_the_text_shows_what_is_not_the_default(fitted):
    assert repr(clone(fitted)) == repr(fitted) and "target=" not in repr(fitted)
    shown = repr(GridSearchCV(DomainAdapter(norm=None, steps=3), {}))
    assert "estimator=DomainAdapter(norm=None, steps=3)" in shown
    assert "ucb_norm(num_clusters=2)" in make(norm="ucb_norm(num_clusters=2)")._repr_html_()
