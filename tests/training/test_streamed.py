"""Training on streams of shards: classes, test sets, what is refused, and commands in files."""

import json
import re

import numpy as np
import pytest
import torch
from written_shards import level, noise, write_shards

from dacbn import DomainAdapter
from dacbn.datasets import record_place
from dacbn.spelling import as_option, spelling
from dacbn.training import TrainConfig, TrainingDomains, read_run_info

pytest.importorskip("webdataset", reason="needs pip install 'dacbn[webdataset]'")

FAST = {
    **{"steps": 4, "source_batch_size": 4, "target_batch_size": 4, "image_size": 32},
    **{"device": "cpu", "log_every": 2, "eval_every": 2, "schedule": "constant"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Shards of dark mugs and bright bikes, of two domains, and a folder of such photographs."""
    root, random = tmp_path_factory.mktemp("domains"), np.random.default_rng(0)
    for name in ("a", "b"):
        images = [noise(random, (60, 190)[n % 2]) for n in range(20)]
        write_shards(root / name, name, images, ("mug", "bike"))
    for name, mean in (("mug", 60), ("bike", 190)):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(6):
            (root / "photos" / name / f"{number}.png").write_bytes(noise(random, mean))
    return root


@pytest.fixture
def a(place):
    return f"file:{place}/a/a-{{0..1}}.tar"


@pytest.fixture
def b(place):
    return f"file:{place}/b/b-{{0..1}}.tar"


def adapter(**options):
    return DomainAdapter(**{**FAST, **options})


def weights(trained):
    return trained.network.state_dict()


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_streams_and_folders_train_together_and_what_has_a_test_set_is_scored(place, a, b):
    photos = str(place / "photos")
    trained = adapter().fit(
        [a, photos], [b, photos], source_test=[None, photos], target_test=[None, photos]
    )
    last = trained.records[-1]
    assert 0 <= last["source_test_accuracy"] <= 1 and 0 <= last["target_test_accuracy"] <= 1
    assert trained.classes == ("bike", "mug")
    assert trained.config.source == (a, photos) and trained.config.target == (b, photos)
    assert trained.predict(photos).shape == (12,)
    again = adapter().fit([a, photos], [b, photos])
    assert same(weights(trained), weights(again))
    assert not same(weights(adapter().fit([b, photos], [b, photos])), weights(again))


def test_labels_of_streams_and_folders_mean_the_same_classes(place, a):
    config = TrainConfig.from_options(**FAST, augment="none", source=("a", "b"), target=())
    domains = TrainingDomains.read(config, 32, [a, str(place / "photos")], [])
    assert domains.classes == ("bike", "mug")
    for batch in domains.stream(config, torch.device("cpu"), strong=False)(0):
        dark = batch.source_images.mean((1, 2, 3)) < 0.5
        assert torch.equal(batch.source_labels == 1, dark) and len(dark) == 4


def test_a_resumed_training_ends_in_the_same_weights(place, a, b, tmp_path):
    whole = adapter(method="mcc", steps=7, checkpoint_every=2).fit(a, b)
    adapter(method="mcc", steps=3, checkpoint_every=2).fit(a, b, run=tmp_path / "run")
    longer = adapter(method="mcc", steps=7, checkpoint_every=2)
    resumed = longer.fit(a, b, run=tmp_path / "run", resume=True)
    assert same(weights(whole), weights(resumed))
    assert read_run_info(tmp_path / "run").trained_on == ()  # no test part leaves out a stream
    text = (tmp_path / "run" / "config.json").read_text()
    assert json.loads(text)["training"]["source"] == [a]


def test_of_a_streamed_target_only_validators_of_the_source_are_computed(place, a, b):
    photos = str(place / "photos")
    trained = adapter().fit(photos, b, source_test=photos)
    found = {name for name in trained.records[-1] if name.startswith("validator_")}
    assert found == {"validator_source_accuracy"}


def test_an_output_for_unknown_classes_needs_no_threshold(place, a, b):
    trained = adapter(method="osbp", unknown=True).fit(a, b)
    assert set(trained.predict(str(place / "photos"))) <= {0, 1, 2}


def refused(words, source, target, **options):
    with spelling(as_option), pytest.raises(ValueError, match=re.escape(words)) as caught:
        adapter(**options).fit(source, target)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "side", "cure"),
    [
        ({"train": "head", "norm": None, "method": "mcc"}, "source", "set --train norms or"),
        ({"train": "head", "norm": None, "method": "mcc"}, "target", "set --train norms or"),
        ({"classifier_start": "probe"}, "source", "set --classifier-start random"),
        ({"balance_classes": True}, "source", "leave out --balance-classes"),
        ({"unknown": True}, "target", "set --method osbp"),
        ({"validators": ("snd",)}, "target", "set --validators source_accuracy"),
        ({"balance_domains": False}, "sources", "leave out --no-balance-domains"),
        ({"balance_domains": False}, "targets", "leave out --no-balance-domains"),
        ({"cache": "pixels"}, "both", "leave out --cache pixels"),
    ],
)
def test_what_needs_all_images_is_refused_with_its_cure(place, a, b, options, side, cure):
    photos = str(place / "photos")
    domains = {
        **{"source": (a, photos), "target": (photos, b), "both": (a, b)},
        **{"sources": ([photos, a], photos), "targets": (photos, [b, photos])},
    }
    found = refused(cure, *domains[side], **options)
    assert "is a stream" in found and "copy its shards here and give their path" in found


@pytest.mark.parametrize(
    "options",
    [
        {"classifier_start": "probe"},  # of the source
        {"balance_classes": True},
        {"cache": "none"},
        {"balance_domains": False},  # there is one domain on each side
    ],
)
def test_what_asks_nothing_of_the_stream_is_not_refused(place, b, options):
    assert adapter(**options, steps=1).fit(str(place / "photos"), b).records is not None


def test_a_stream_is_no_test_set_and_no_few_labelled_images(place, a, b):
    photos = str(place / "photos")
    with pytest.raises(ValueError, match="copy the shards here and give their path, or give other"):
        adapter().fit(photos, photos, target_test=b)
    with pytest.raises(ValueError, match="copy the shards here and give their path"):
        adapter(method="mme").fit(photos, photos, target_labelled=a)
    with pytest.raises(ValueError, match="copy the shards here and give their path"):
        adapter(steps=1).fit(photos, photos).adapt(b)
    with pytest.raises(ValueError, match="copy the shards here and give their path"):
        adapter(steps=1).fit(photos, photos).predict(b)


def test_classes_that_differ_are_refused_before_training(place, a, tmp_path):
    other = write_shards(tmp_path, "c", [level(0)] * 4, ("mug", "bikes"))
    with pytest.raises(ValueError, match=r"bikes.*did you mean 'bike' by 'bikes'"):
        adapter().fit([a, f"file:{other}"], None)
    one = write_shards(tmp_path, "d", [level(0)] * 4, ("mug",))
    with pytest.raises(ValueError, match="the source has only one class, 'mug'"):
        adapter(method="source_only").fit(f"file:{one}", None)


def test_a_class_that_comes_later_is_refused_with_its_cure(tmp_path):
    pattern = write_shards(tmp_path, "a", [level(0)] * 40, ("mug", "bike", "cup"))
    (tmp_path / "classes.txt").write_text("mug\nbike\n")
    with pytest.raises(ValueError, match=r"classes\.txt names 2 classes, and not '2': add it"):
        adapter(method="source_only").fit(f"file:{pattern}", None)


def test_without_names_of_classes_the_message_says_where_to_write_them(place, tmp_path):
    write_shards(tmp_path, "a", [level(0)] * 4, ("mug", "bike"))
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(ValueError, match="write the name of each class there"):
        adapter(method="source_only").fit(f"file:{tmp_path}/a-0.tar", None)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("pipe:cat a.tar", "the command cat a.tar"),
        ("the command cat a.tar", "the command cat a.tar"),
        ("http://host/';touch x;'a.tar", "the command http://host/';touch x;'a.tar"),
        ("ais://bucket/$(touch x)/a.tar", "the command ais://bucket/$(touch x)/a.tar"),
    ],
)
def test_an_address_that_may_run_a_program_is_only_named_in_a_file(address, named):
    assert record_place(address) == named
    settings = {**TrainConfig().to_json(), "source": [address], "target": [address, "digits"]}
    config = TrainConfig.from_json({**settings, "unseen": [], "target_labelled": [address]})
    assert config.source == config.target_labelled == (named,)
    assert config.target == (named, "digits")


@pytest.mark.parametrize(
    "place",
    [
        *("digits", "a folder", "photos.csv:amazon", "hf:USER/NAME", "file:/my data/a{0..3}.tar"),
        "https://host:80/a-{000..010}.tar?key=1&b=2",
        *("gs://bucket/a-{0..3}.tar", "s3://b/a.tar"),
    ],
)
def test_other_places_are_recorded_as_they_are(place):
    assert record_place(place) == place


def test_a_command_runs_where_it_was_typed_and_not_from_a_file(place, tmp_path):
    command = f"pipe:touch {tmp_path}/ran; cat {place}/a/a-{{0..1}}.tar"
    photos, run = str(place / "photos"), tmp_path / "run"
    trained = adapter(method="mcc", steps=2).fit(command, photos, run=run)
    assert (tmp_path / "ran").exists() and trained.config.source == (
        command.replace("pipe:", "the command "),
    )
    (tmp_path / "ran").unlink()
    config = json.loads((run / "config.json").read_text())
    for recorded in (config["training"]["source"], [command]):  # as dacbn writes it, or anyone
        config["training"]["source"] = recorded
        config["training"]["steps"] = 3
        (run / "config.json").write_text(json.dumps(config))
        foreign = DomainAdapter.from_run(run)
        with pytest.raises(ValueError, match="whose commands are never run: if you trust it"):
            foreign.fit(foreign.config.source, photos, run=run, resume=True)
        with pytest.raises(ValueError, match="is a stream, whose address"):
            DomainAdapter.from_pretrained(run).evaluate(foreign.config.source[0])
    assert not (tmp_path / "ran").exists()
    resumed = DomainAdapter.from_run(run).fit(command, photos, run=run, resume=True)
    assert same(weights(resumed), weights(adapter(method="mcc", steps=3).fit(command, photos)))
