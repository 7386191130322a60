"""Test-time adaptation through the adapter: order, batches, and what stays as it is."""

import warnings

import numpy as np
import pytest
import torch
from colour_shift import draw_images

from dacbn.adapter import DomainAdapter
from dacbn.batch import Output
from dacbn.datasets import TensorImages
from dacbn.methods.online import OnlineMethod
from dacbn.models import create_network
from dacbn.training import run_online

pytestmark = pytest.mark.filterwarnings("ignore:test-time adaptation")


class Witness(OnlineMethod):
    """Answers with what it is shown."""

    batch_size = 10

    def __init__(self, network):
        super().__init__(network)
        self.sizes, self.ids = [], []

    def predict(self, images, cluster_ids):
        """Answer with the first pixel, twice."""
        self.sizes.append(len(images))
        self.ids += cluster_ids.tolist()
        return Output(images[:, :, 0, 0], images[:, :, 0, 0])


@pytest.mark.parametrize(
    ("count", "sizes"), [(10, [10]), (11, [6, 5]), (25, [9, 8, 8]), (1, [1]), (31, [8, 8, 8, 7])]
)
def test_answers_are_in_the_order_of_the_images_and_batches_of_nearly_one_size(count, sizes):
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    method = Witness(create_network("digits_cnn", "batch_norm", 3))
    output = run_online(method, TensorImages(pixels), 1, torch.device("cpu"))
    torch.testing.assert_close(output.logits[:, 0] * 255, torch.arange(count).float())
    assert method.sizes == sizes and method.ids == [1] * count


def test_images_sorted_by_class_are_mixed():
    method = Witness(create_network("digits_cnn", "batch_norm", 3))
    seen = []
    method.predict = lambda images, ids: seen.append(images) or Witness.predict(method, images, ids)
    pixels = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    run_online(method, TensorImages(pixels), 1, torch.device("cpu"))
    assert all(255 * images.std() > 10 for images in seen)  # in order, it would be 3


@pytest.fixture
def trained(tiny, source, target):
    return tiny(norm="ucb_norm", steps=3).fit(source, target[0])


@pytest.mark.parametrize("method", ["tent(lr=0.1)", "sar(lr=0.1, margin=1)"])
def test_an_adapter_stays_as_it_is(trained, target, weights, method):
    images, before = target[0], weights(trained)
    plain = trained.predict_proba(images)
    adapted = trained.predict_proba(images, adapt=method)
    assert weights(trained) == before and not trained.network.training
    assert not np.allclose(plain, adapted)
    assert np.array_equal(adapted, trained.predict_proba(images, adapt=method))
    assert np.array_equal(plain, trained.predict_proba(images))
    assert all(p.requires_grad for p in trained.network.parameters())


def test_every_question_can_be_adapted(trained, target):
    images, labels = target
    predicted = trained.predict(images, adapt="tent")
    assert trained.score(target, adapt="tent") == np.mean(predicted == labels)
    assert trained.transform(images, adapt="tent").shape == trained.transform(images).shape
    assert trained.evaluate(target, adapt="sar").keys() == trained.evaluate(target).keys()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("tnt", "unknown test-time method 'tnt'. Did you mean 'tent'"),
        ("tent(rate=1)", "tent has no option 'rate', only lr"),
        ("sar(margin='a')", "margin of sar must be a number, got 'a'"),
        (
            "shot",
            "unknown test-time method 'shot'. Known: cotta, eata, .*, tent",
        ),
    ],
)
def test_a_wrong_word_is_said(trained, target, method, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        trained.predict(target[0], adapt=method)


@pytest.mark.parametrize(("count", "warned"), [(1, True), (17, True), (63, True), (64, False)])
def test_a_call_with_few_images_says_that_the_cut_matters(count, warned):
    pixels = torch.zeros(count, 3, 4, 4, dtype=torch.uint8)
    for norm in ("batch_norm", "group_norm"):  # the second has nothing stored
        method = Witness(create_network("digits_cnn", norm, 3))
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            run_online(method, TensorImages(pixels), 1, torch.device("cpu"))
        texts = [str(each.message) for each in found]
        assert len(texts) == (warned and norm == "batch_norm")
        number = "one image as without it" if count == 1 else f"has {count} images"
        assert all(number in text for text in texts)


def test_the_last_batch_of_many_is_not_small():
    method = Witness(create_network("digits_cnn", "batch_norm", 3))
    pixels = torch.zeros(1, dtype=torch.uint8)[:, None, None, None].expand(902, 3, 2, 2)
    run_online(method, TensorImages(pixels), 1, torch.device("cpu"))
    assert set(method.sizes) == {9, 10}


@pytest.mark.parametrize("adapt", ["tent(lr=0.1)", "sar(lr=0.1, margin=1)"])
@pytest.mark.parametrize("norm", ["batch_norm", "ucb_norm(num_clusters=2, assign='sample')"])
def test_images_one_by_one_are_predicted_as_without_adaptation(tiny, source, target, norm, adapt):
    trained = tiny(norm=norm, steps=3).fit(source, target[0])
    plain = trained.predict_proba(target[0])
    alone = [trained.predict_proba(image[None], adapt=adapt)[0] for image in target[0]]
    np.testing.assert_allclose(alone, plain, atol=1e-5)


def test_a_shift_of_colours_is_undone():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_images(150, shifted, generator) for shifted in (False, True)]
    images, (labels, wanted) = zip(*drawn, strict=True)
    adapter = DomainAdapter(
        norm="batch_norm",
        method="source_only",
        steps=30,
        source_batch_size=30,
        target_batch_size=1,
        augment="none",
        device="cpu",
    )
    source, target = (pixels.clamp(0, 1).numpy().repeat(16, 2).repeat(16, 3) for pixels in images)
    adapter.fit((source, labels), source)
    test = (target, wanted)
    assert adapter.score(test) < 0.7
    assert adapter.score(test, adapt="tent") > 0.9
