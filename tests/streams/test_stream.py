"""Streams through the adapter: order, what arrives, state, and the network that stays as it is."""

import gc
import weakref
from itertools import count, islice

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.adapter import DomainAdapter
from dacbn.datasets import TensorImages, UnlabelledImages
from dacbn.methods import test_time_methods

METHODS = [None, *("cotta(views=2)" if name == "cotta" else name for name in test_time_methods)]


@pytest.fixture(scope="module")
def trained(squares_adapter):
    return squares_adapter


def probabilities(stream):
    return np.concatenate([[each.probabilities for each in batch.answers] for batch in stream])


def test_without_adaptation_a_stream_answers_as_predict_does(trained, target):
    images = target[0]
    stream = trained.stream(iter(images), batch_size=4)
    batches = list(stream)
    assert [len(each.answers) for each in batches] == [4, 4, 4, 4, 1] and stream.seen == 17
    found = np.concatenate([[each.probabilities for each in batch.answers] for batch in batches])
    np.testing.assert_allclose(found, trained.predict_proba(images), atol=1e-6)
    labels = [trained.classes.index(a.label) for batch in batches for a in batch.answers]
    assert labels == trained.predict(images).tolist()


@pytest.mark.parametrize("adapt", METHODS)
def test_the_network_of_the_adapter_stays_as_it_is(trained, target, weights, adapt):
    before = weights(trained)
    for _ in trained.stream(target[0], adapt, batch_size=4):
        pass
    assert weights(trained) == before and not trained.network.training
    assert all(parameter.requires_grad for parameter in trained.network.parameters())


@pytest.mark.parametrize("adapt", [None, "lame", "tent"])
def test_a_network_trained_with_a_norm_that_follows_stays_as_it_is(target, weights, adapt):
    options = {"steps": 1, "source_batch_size": 6, "target_batch_size": 5, "device": "cpu"}
    adapter = DomainAdapter(norm="robust_batch_norm", **options).fit(target, target[0])
    before = weights(adapter)
    stream = adapter.stream(target[0], adapt, batch_size=6)
    list(stream)
    moved = stream.method.network.state_dict()
    assert weights(adapter) == before
    assert any(value.numpy().tobytes() != before[name] for name, value in moved.items())
    first = next(adapter.stream(target[0], adapt, batch_size=6)).answers[0]
    again = next(adapter.stream(target[0], adapt, batch_size=6)).answers[0]
    assert np.array_equal(first.probabilities, again.probabilities)


@pytest.mark.parametrize("adapt", METHODS)
def test_a_saved_stream_goes_on_to_the_same_answers(trained, target, adapt, tmp_path):
    images = np.concatenate([target[0]] * 2)
    whole = probabilities(trained.stream(images, adapt, batch_size=5))
    first = trained.stream(images[:15], adapt, batch_size=5)
    parts = [probabilities(first)]
    first.save(tmp_path / "state.pt")
    for state in (tmp_path / "state.pt", first.state_dict()):
        second = trained.stream(images[15:], adapt, batch_size=5, state=state)
        parts[1:] = [probabilities(second)]
        assert np.array_equal(np.concatenate(parts), whole)
        assert second.seen == 34


@pytest.mark.parametrize("adapt", METHODS)
def test_a_batch_is_answered_before_it_is_learned_from_and_before_the_next_is_read(
    trained, target, adapt
):
    read = []

    def endless():
        for index in count():
            read.append(index)
            yield target[0][index % 17]

    stream = trained.stream(endless(), adapt, batch_size=3)
    for number, batch in enumerate(islice(stream, 7), start=1):
        assert len(read) == 3 * number == stream.seen
        assert len(batch.answers) == 3


def test_what_may_arrive(trained, target, tmp_path):
    images = target[0][:6]
    wanted = trained.predict_proba(images)
    colour = np.repeat(images[..., None], 3, 3)
    files = []
    for number, image in enumerate(images):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(files[-1])
    tensors = torch.from_numpy(colour).permute(0, 3, 1, 2)
    np.savez(tmp_path.parent / "images.npz", images=images)
    (tmp_path.parent / "list.txt").write_text("".join(f"{file}\n" for file in files))
    loader = torch.utils.data.DataLoader([(t.float() / 255, 0) for t in tensors], batch_size=4)
    for arriving in (
        iter(images),
        iter(colour),
        iter(tensors),
        (image.float() / 255 for image in tensors),
        iter([tensors[:2], tensors[2:5], tensors[5]]),
        iter([images[:2], images[2:]]),
        iter([(colour[:3], [0, 1, 0]), (colour[3:], [0, 1, 0])]),
        (Image.fromarray(image) for image in images),
        iter(files),
        map(str, files),
        iter([files[:2], files[2:]]),
        tmp_path,
        str(tmp_path),
        iter([tmp_path]),
        tmp_path.parent / "images.npz",
        tmp_path.parent / "list.txt",
        colour,
        tensors,
        files,
        loader,
        UnlabelledImages(TensorImages(tensors)),
    ):
        found = probabilities(trained.stream(arriving, batch_size=4))
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    answers = [each for batch in trained.stream(map(str, files)) for each in batch.answers]
    assert [each.file for each in answers] == files


def test_a_broken_image_has_its_place_and_its_reason(trained, target, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    dark = np.full((32, 32, 3), np.nan, np.float32)
    arriving = [target[0][0], tmp_path / "broken.png", target[0][1], tmp_path / "absent.png", dark]
    answers = [a for each in trained.stream(iter(arriving), batch_size=2) for a in each.answers]
    reasons = [each.reason for each in answers]
    assert reasons[0] is reasons[2] is None and reasons[3] == "No such file or directory"
    assert reasons[1].startswith("no image format") and reasons[4].startswith("float images range")
    assert [each.label is None for each in answers] == [False, True, False, True, True]
    stream = trained.stream(iter(arriving), batch_size=3, on_unreadable="raise")
    with pytest.raises(ValueError, match=r"broken.png of the stream cannot be read: no image"):
        next(stream)
    stream = trained.stream(iter([dark]), on_unreadable="raise")
    with pytest.raises(ValueError, match=r"^image 1 of the stream cannot be read: .*'skip'$"):
        next(stream)


def test_a_batch_of_which_nothing_can_be_read_is_answered(trained, target, tmp_path):
    arriving = iter([tmp_path / "1.png", tmp_path / "2.png", target[0][0]])
    empty, full = trained.stream(arriving, "tent", batch_size=2)
    assert len(empty.answers) == 2 and len(empty.output.logits) == len(empty.labels) == 0
    assert full.answers[0].label is not None


@pytest.mark.parametrize(
    ("arriving", "options", "message"),
    [
        ([], {}, "the stream ended before its first image"),
        ([3], {}, "cannot take images from int"),
        ([{"image": 3}], {}, r"cannot take images from dict: pass the images in it"),
    ],
)
def test_what_is_no_stream_of_images_is_refused(trained, arriving, options, message):
    with pytest.raises(ValueError, match=message):
        next(trained.stream(iter(arriving), **options))


def test_wrong_words_are_refused_before_an_image_is_read(trained, target):
    def unread():
        raise AssertionError
        yield

    for options, message in (
        ({"adapt": "tnt"}, "Did you mean 'tent'"),
        ({"batch_size": 0}, "batch_size must be at least 1, and whole, got 0"),
        ({"on_unreadable": "ask"}, 'must be "skip" or "raise"'),
        ({"domain": "nowhere"}, "there is no domain 'nowhere'"),
        ({"state": {}}, "no state of a stream"),
    ):
        with pytest.raises(ValueError, match=message):
            trained.stream(unread(), **options)
    state = trained.stream(unread(), "tent").state_dict()
    with pytest.raises(ValueError, match="a stream with adapt tent, and this has sar"):
        trained.stream(unread(), "sar", state=state)


def test_a_file_that_is_no_state_is_refused(trained, tmp_path):
    (tmp_path / "state.pt").write_text("no state")
    with pytest.raises(ValueError, match="is no saved state of a stream"):
        trained.stream([], state=tmp_path / "state.pt")


def test_answers_that_are_not_finite_are_no_answers(trained, target):
    stream = trained.stream(target[0], "tent", guard=False)
    torch.nn.init.constant_(stream.method.network.classifier.weight, torch.nan)
    with pytest.raises(ValueError, match="answers after image 0 of the stream are not finite"):
        next(stream)


def test_eata_learns_from_source_images_or_says_that_there_are_none(trained, target, caplog):
    caplog.set_level("INFO")
    plain = trained.stream(target[0], "eata(margin=1, similar=1)", batch_size=5)
    assert "has no source images" in caplog.text and plain.method.importance is None
    anchored = trained.stream(
        target[0], "eata(margin=1, similar=1, anchor=1000000)", batch_size=5, source=target[0]
    )
    assert len(anchored.method.importance) == len(anchored.method.parameters)
    assert all(bool((each >= 0).all()) for each in anchored.method.importance)
    assert not np.allclose(probabilities(plain), probabilities(anchored))
    for options in ({"adapt": "tent"}, {}):
        with pytest.raises(ValueError, match="source images"):
            trained.stream(target[0], source=target[0], **options)


def test_normalisers_that_follow_the_stream(trained, target, weights):
    before = weights(trained)
    plain = probabilities(trained.stream(target[0], batch_size=5))
    for adapt in (None, "tent", "lame", "sar(margin=1)"):
        stream = trained.stream(target[0], adapt, "robust_batch_norm(rate=0.5)", batch_size=5)
        assert not np.allclose(probabilities(stream), plain)
        first = trained.stream(target[0][:10], adapt, "robust_batch_norm(rate=0.5)", batch_size=5)
        parts = [probabilities(first)]
        second = trained.stream(
            target[0][10:],
            adapt,
            "robust_batch_norm(rate=0.5)",
            batch_size=5,
            state=first.state_dict(),
        )
        parts.append(probabilities(second))
        whole = trained.stream(target[0], adapt, "robust_batch_norm(rate=0.5)", batch_size=5)
        assert np.array_equal(np.concatenate(parts), probabilities(whole))
    assert weights(trained) == before
    with pytest.raises(ValueError, match="rotta brings its own norm"):
        trained.stream(target[0], "rotta", "robust_batch_norm")


def test_a_norm_that_needs_the_domain_of_each_image_is_refused(trained, target):
    with pytest.raises(ValueError, match="needs the domain of each image"):
        trained.stream(target[0], norm="scb_norm")


def test_what_has_no_domain_or_nothing_to_learn_is_refused(target):
    options = {"steps": 1, "source_batch_size": 6, "device": "cpu", "method": "source_only"}
    images, labels = target
    adapter = DomainAdapter(norm="domain_specific_batch_norm", **options)
    adapter.fit([(images, labels), (images[::-1], labels[::-1])], None)
    assert len(list(adapter.stream(images))) == len(list(adapter.stream(images, "tent", domain=0)))
    with pytest.raises(ValueError, match="one domain are moved: name it"):
        adapter.stream(images, "tent")
    adapter = DomainAdapter(norm="batch_norm(affine=False)", **options)
    adapter.fit((images, labels), None)
    with pytest.raises(ValueError, match="has none: predict without adapting, or with lame"):
        adapter.stream(images, "tent")
    assert len(list(adapter.stream(images, "lame"))) == 1


@pytest.mark.parametrize("adapt", [None, pytest.param("tent", marks=pytest.mark.slow), "rotta"])
def test_no_image_is_kept(trained, target, adapt):
    alive = []

    def endless():
        for index in count():
            image = target[0][index % 17].copy()
            alive.append(weakref.ref(image))
            yield image
            del image

    stream = trained.stream(endless(), adapt, batch_size=3)
    for _ in islice(stream, 6):
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= 4
    if adapt == "rotta":
        assert len(stream.method.images) <= stream.method.memory
