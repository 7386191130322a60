"""The adapter, as a person uses it from Python."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.adapter import NotFittedError
from dacbn.datasets import labelled
from dacbn.norms import require_statistics
from dacbn.registry import UnknownNameError
from dacbn.training import RunFolderError

OPTIONS = {
    "steps": 3,
    "source_batch_size": 6,
    "target_batch_size": 6,
    "log_every": 1,
    "device": "cpu",
}
NORMS = [
    None,
    "ucb_norm(update='em')",
    "ucb_norm(update='learned')",
    "ucb_norm(update='hybrid')",
    "scb_norm",
]


def make_squares(count, seed):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.integers(0, 100, (count, 32, 32)) + 120 * labels[:, None, None]
    return images.astype(np.uint8), labels


SOURCE, TARGET = make_squares(20, 0), make_squares(13, 1)
IMAGES = TARGET[0]
RGB = np.repeat(IMAGES[..., None], 3, axis=-1)


def adapt(source=SOURCE, target=TARGET[0], **options):
    return DomainAdapter(**{**OPTIONS, **options}).fit(source, target)


@pytest.fixture(scope="module")
def adapter():
    return adapt()


@pytest.fixture
def folder(tmp_path):
    """Write the target images one by one: grey, named by their number."""
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
    return tmp_path


def test_predictions_are_the_likeliest_of_probabilities_that_sum_to_one(adapter):
    probabilities = adapter.predict_proba(IMAGES)
    assert probabilities.shape == (13, 2) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert np.array_equal(adapter.predict(IMAGES), probabilities.argmax(1))


def test_the_same_images_in_any_form_are_answered_alike(adapter, folder):
    expected = adapter.predict_proba(IMAGES)
    files = sorted(folder.iterdir())
    forms = [RGB, RGB.transpose(0, 3, 1, 2), IMAGES / 255, torch.from_numpy(IMAGES)]
    forms += [labelled(*TARGET), TARGET, folder, str(folder), files, [str(file) for file in files]]
    for images in forms:
        np.testing.assert_allclose(adapter.predict_proba(images), expected, atol=1e-6)


def test_features_are_what_the_classifier_classifies(adapter):
    features = torch.from_numpy(adapter.transform(IMAGES))
    assert features.shape == (13, adapter.network.num_features)
    with torch.no_grad():
        logits = adapter.network.classifier(features)
    np.testing.assert_allclose(logits.softmax(1), adapter.predict_proba(IMAGES), atol=1e-6)


def test_the_backbone_is_a_module_to_take_away(adapter):
    network = adapter.network
    standard = (torch.from_numpy(RGB).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.no_grad():
        features = network.backbone.eval()(standard)
    np.testing.assert_allclose(features, adapter.transform(RGB), rtol=1e-4, atol=1e-5)


def test_the_score_is_the_share_of_right_predictions(adapter):
    right = float((adapter.predict(IMAGES) == TARGET[1]).mean())
    assert adapter.score(TARGET) == pytest.approx(right)
    assert adapter.evaluate(labelled(*TARGET))["accuracy"] == pytest.approx(right)


def test_recalibration_takes_the_statistics_of_the_images_given():
    adapter, seen = adapt(norm=None, method="source_only", steps=1), []
    layer = adapter.network.backbone.layers[2]
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    weights = {name: value.clone() for name, value in adapter.network.named_parameters()}
    assert adapter.recalibrate(IMAGES) is adapter
    mean = seen[0].transpose(0, 1).flatten(1).mean(1)
    torch.testing.assert_close(layer.running_mean, mean, rtol=1e-4, atol=1e-5)
    now = dict(adapter.network.named_parameters())
    assert all(torch.equal(value, now[name]) for name, value in weights.items())
    assert not adapter.network.training


def test_a_network_without_statistics_is_not_recalibrated(tmp_path, monkeypatch, capsys):
    adapter = adapt(norm="group_norm", method="source_only", steps=1)
    with pytest.raises(ValueError, match="no running statistics to re-estimate"):
        adapter.recalibrate(IMAGES)
    require_statistics(torch.nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match="by each image or batch alone"):
        require_statistics(torch.nn.BatchNorm2d(3, track_running_stats=False))
    adapter.save_pretrained(tmp_path / "run")
    for words in (["evaluate", "--target", "photos"], ["predict", "photo.png"]):
        words.insert(1, str(tmp_path / "run"))
        monkeypatch.setattr(sys, "argv", ["dacbn", *words, "--recalibrate", "--device", "cpu"])
        with pytest.raises(SystemExit):
            cli.main()
        assert "no running statistics to re-estimate" in capsys.readouterr().err


def test_few_images_are_scored_though_they_do_not_show_every_class(adapter):
    zeros = (IMAGES[TARGET[1] == 0], [0] * 7)
    assert adapter.score(zeros) == pytest.approx(float((adapter.predict(zeros[0]) == 0).mean()))


def test_a_squares_problem_is_solved():
    adapter = adapt(steps=15, norm="ucb_norm(num_clusters=2)", method="source_only", lr=0.003)
    assert adapter.score(TARGET) == 1


def test_every_kind_of_data_trains(folder):
    source = labelled(*make_squares(8, 2), classes=("dark", "bright"))
    for target in (RGB, IMAGES / 255, folder, sorted(folder.iterdir()), labelled(*TARGET), TARGET):
        assert adapt(source, target, steps=1, image_size=32).classes == ("dark", "bright")
    assert adapt("digits", "color_digits", steps=1).classes == tuple("0123456789")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_a_saved_adapter_comes_back_with_the_same_probabilities(tmp_path, norm, ema_decay):
    adapter = adapt(norm=norm, ema_decay=ema_decay)
    adapter.save_pretrained(tmp_path)
    again = DomainAdapter.from_pretrained(tmp_path, device="cpu")
    for cluster_id in (0, 1):
        expected = adapter.predict_proba(IMAGES, cluster_id)
        assert np.array_equal(again.predict_proba(IMAGES, cluster_id), expected)
    assert again.classes == adapter.classes and again.image_size == adapter.image_size
    assert again.config == adapter.config


def test_a_run_folder_is_a_saved_adapter(tmp_path):
    adapter = DomainAdapter(**OPTIONS).fit(SOURCE, IMAGES, run=tmp_path)
    again = DomainAdapter.from_pretrained(str(tmp_path), device="cpu")
    assert np.array_equal(again.predict_proba(IMAGES), adapter.predict_proba(IMAGES))


def test_the_settings_name_the_data_that_was_used(adapter, folder):
    assert (adapter.config.source, adapter.config.target) == (("in memory",), ("in memory",))
    fitted = adapt("digits", folder, steps=1, image_size=32)
    assert (fitted.config.source, fitted.config.target) == (("digits",), (str(folder),))


def test_nothing_is_answered_before_training(tmp_path):
    adapter = DomainAdapter()
    for ask in (adapter.predict, adapter.predict_proba, adapter.transform, adapter.score):
        with pytest.raises(NotFittedError, match="call fit or from_pretrained first"):
            ask(IMAGES)
    with pytest.raises(NotFittedError, match="not trained"):
        adapter.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_text_of_an_adapter_makes_another_of_the_same_settings(folder):
    assert repr(DomainAdapter()) == "DomainAdapter()"
    options = {"steps": 7, "norm": None, "data_root": folder, "classifier": (8,)}
    adapter = DomainAdapter(method="dann(weight=0.5)", **options)
    assert eval(repr(adapter)).config == adapter.config  # our own text
    assert repr(adapter).count("=") == 6 and "steps=7" in repr(adapter)  # one in the method


def test_numbers_of_numpy_train_and_are_saved(tmp_path):
    for seed in np.arange(2):
        options = {"steps": np.int64(1), "lr": np.float32(0.01), "image_size": np.int16(32)}
        adapter = DomainAdapter(norm=None, method="source_only", device="cpu", seed=seed, **options)
        adapter.fit(SOURCE, IMAGES, run=tmp_path / str(seed))
        again = DomainAdapter.from_pretrained(tmp_path / str(seed), device="cpu")
        assert again.config == adapter.config and again.config.seed == seed
        assert np.array_equal(again.predict(IMAGES, np.int64(1)), adapter.predict(IMAGES, 1))
        again.adapt(IMAGES, "shot", steps=np.int64(1), run=tmp_path / f"{seed} adapted")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "ucb_nrom"}, "unknown norm 'ucb_nrom'. Did you mean 'ucb_norm'"),
        ({"method": "dannn"}, "unknown method 'dannn'. Did you mean 'dann'"),
        ({"step": 3}, "unknown option 'step'. Did you mean steps"),
        ({"learning_rate": 0.1}, "unknown option 'learning_rate'. Did you mean lr"),
        ({"norm": "ucb_norm(3)"}, "cannot read 'ucb_norm\\(3\\)': write a name"),
        ({"lr": -1}, "lr must be positive"),
    ],
)
def test_a_wrong_word_is_said_at_once_with_the_nearest(options, message):
    with pytest.raises(ValueError, match=message):
        DomainAdapter(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet1"}, "unknown backbone 'resnet1'. Nearest: resnet18"),
        ({"norm": "ucb_norm(clusters=3)"}, "ucb_norm has no option 'clusters', only num_clusters"),
        (
            {"norm": "ucb_norm(num_clusters='a')"},
            "num_clusters of ucb_norm must be a whole number, got 'a'",
        ),
        ({"method": "dann(wieght=1)"}, "dann has no option 'wieght', only weight"),
        ({"method": "dann(weight='a')"}, "weight of dann must be a number, got 'a'"),
        ({"method": "source_only(weight=1)"}, "has no option 'weight', only label_smoothing"),
        ({"norm_sites": "layer9"}, "no normaliser is named like 'layer9'"),
        ({"image_size": 8}, "digits_cnn cannot take images of 8 pixels per side"),
        ({"backbone": "vit_tiny_patch16_224", "norm": None}, "set image_size=224, or choose"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        adapt(**options)
    assert "\n" not in str(caught.value)


def test_other_classes_in_a_test_are_refused(adapter):
    with pytest.raises(ValueError, match="has classes that the source lacks"):
        adapter.score(labelled(IMAGES, TARGET[1], ("a", "b")))
    with pytest.raises(ValueError, match=r"labels \['2'\] are not among the classes \('0', '1'\)"):
        adapter.score((IMAGES, np.arange(13) % 3))
    with pytest.raises(UnknownNameError, match="unknown dataset 'digit'"):
        adapter.score("digit")


def test_domains_of_two_sizes_are_brought_to_the_larger():
    small = make_squares(8, 3)[0][:, ::2, ::2]
    assert adapt(target=small).image_size == 32
    large = np.kron(IMAGES, np.ones((1, 2, 2), dtype=np.uint8))
    adapter = adapt(target=large, steps=1, norm=None)
    assert adapter.image_size == 64 and adapter.predict(IMAGES).shape == (13,)


@pytest.mark.parametrize("norm", NORMS)
def test_one_target_image_is_a_domain(norm):
    adapter = adapt(target=IMAGES[:1], norm=norm)
    assert np.isfinite(adapter.predict_proba(IMAGES[:1])).all()


@pytest.mark.parametrize("norm", [*NORMS, "ucb_norm(num_clusters=4, assign='sample')"])
def test_as_many_components_as_images_train_to_finite_answers(norm):
    adapter = adapt(norm=norm, source_batch_size=2, target_batch_size=2)
    assert np.isfinite(adapter.predict_proba(IMAGES)).all()


def test_another_folder_of_data_can_be_named_when_loading(tmp_path):
    adapt("digits", "color_digits", steps=1).save_pretrained(tmp_path)
    moved = DomainAdapter.from_pretrained(tmp_path, device="cpu", data_root=tmp_path / "moved")
    assert moved.config.data_root == tmp_path / "moved"
    with pytest.raises(FileNotFoundError, match=r"moved/svhn/test_32x32\.mat is missing"):
        moved.score("svhn")


def test_loading_from_nowhere_says_what_is_needed(tmp_path):
    with pytest.raises(RunFolderError, match="Give a folder that dacbn train wrote"):
        DomainAdapter.from_pretrained(tmp_path / "nowhere")
