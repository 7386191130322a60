"""Training without a target: domain generalisation, scored on a domain that is never seen."""

import json
import logging

import numpy as np
import pytest
import torch

from dacbn import DomainAdapter
from dacbn.batch import Batch
from dacbn.methods import methods
from dacbn.models import create_network
from dacbn.training import TrainConfig, check_without_target, train_command

ABLE = [name for name in methods if methods[name].fewest_sources is not None]


@pytest.mark.parametrize("name", ABLE)
@pytest.mark.parametrize("balance", [True, False])
def test_methods_that_can_train_on_sources_alone_do(name, balance, tiny, sources):
    adapter = tiny(method=name, balance_domains=balance).fit(sources, None)
    assert adapter.config.target == () and adapter.config.unseen == ()
    losses = [row for row in adapter.records if "classification" in row]
    assert len(losses) == 6
    assert all(np.isfinite(value) for row in losses for value in row.values())
    assert adapter.predict(sources[0][0]).shape == (20,)


def test_these_are_the_methods_that_can():
    assert {"source_only", "dann", "cdan", "m3sda", "dan", "deep_coral", "jan", "cmd", "bsp"} < set(
        ABLE
    )
    assert not {"mcc", "adda", "mcd", "mdd", "vada", "shot", "adamatch", "fixmatch"} & set(ABLE)


def test_others_are_refused_in_a_line_that_names_those_that_can(tiny, sources):
    with pytest.raises(ValueError, match=r"mcc needs a target.*source_only") as error:
        tiny(method="dann + mcc").fit(sources, None)
    assert all(name in str(error.value) for name in ABLE) and "adda" not in str(error.value)


@pytest.mark.parametrize("options", [{}, {"merge_sources": True}])
def test_comparing_one_source_with_nothing_is_refused(options, tiny, sources):
    given = sources if options else sources[0]
    with pytest.raises(
        ValueError, match=r"dann compares domains.*at least 2.*source_only"
    ) as error:
        tiny(method="dann", **options).fit(given, None)
    assert "m3sda" not in str(error.value)
    tiny(method="source_only", **options).fit(given, None)


def test_the_settings_say_no_target(tiny, sources, tmp_path):
    adapter = tiny(method="dann").fit(sources, None, run=tmp_path / "run")
    written = json.loads((tmp_path / "run" / "config.json").read_text())["training"]
    assert written["target"] == [] and written["unseen"] == []
    assert "→ no target" in adapter.config.domains
    again = DomainAdapter.from_pretrained(tmp_path / "run")
    assert again.config == adapter.config
    assert np.array_equal(again.predict(sources[0][0]), adapter.predict(sources[0][0]))


@pytest.mark.parametrize("target", ["none", ("none",), ()])
def test_no_target_is_spelt_in_a_command_as_none(target):
    config = TrainConfig(source=("mnist", "usps"), target=target, unseen="svhn")
    assert config.target == () and config.unseen == ("svhn",)
    assert "--target none --unseen svhn" in train_command(config)
    assert config.domains == "mnist + usps → no target (svhn unseen)"
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_unseen_domains_beside_a_target_are_refused(tiny, sources):
    with pytest.raises(ValueError, match="unseen is scored where there is no target"):
        check_without_target(TrainConfig(unseen=("svhn",)))


def test_an_unseen_domain_is_scored_and_has_no_influence(tiny, sources, target, weights):
    options = {"method": "dann", "eval_every": 2, "validators": ("source_accuracy", "bnm", "snd")}
    scored = tiny(**options).fit(sources, None, source_test=sources, target_test=target)
    plain = tiny(**options).fit(sources, None)
    assert weights(scored) == weights(plain)
    names = {name for row in scored.records for name in row}
    assert {"target_test_accuracy", "source_test_accuracy/source 2"} <= names
    assert {name for name in names if "validator" in name} == {"validator_source_accuracy"}
    assert scored.config.unseen == ("in memory",)


def test_several_unseen_domains_are_scored_each(tiny, sources, target):
    adapter = tiny(method="dann").fit(sources[:2], None, target_test=[target, sources[2]])
    last = adapter.records[-1]
    each = [last["target_test_accuracy/unseen 1"], last["target_test_accuracy/unseen 2"]]
    assert last["target_test_accuracy"] == pytest.approx(np.mean(each))


def test_norms_by_domain_answer_by_the_mean_of_the_sources(tiny, sources, target, caplog):
    adapter = tiny(method="source_only", norm="domain_specific_batch_norm")
    adapter.fit(sources, None, target_test=target)
    images = target[0]
    with caplog.at_level(logging.INFO, "dacbn"):
        found = adapter.predict_proba(images)
    assert "no target" in caplog.text and "source 1, source 2, source 3" in caplog.text
    each = [adapter.predict_proba(images, number) for number in range(3)]
    assert np.allclose(found, np.mean(each, 0), atol=1e-5)
    assert adapter.records[-1]["target_test_accuracy"] == pytest.approx(adapter.score(target))
    with pytest.raises(ValueError, match="of one domain are moved: name it"):
        adapter.recalibrate(images)
    with pytest.raises(ValueError, match="none for another domain"):
        adapter.adapt(images)


def test_what_knows_no_domains_can_be_recalibrated_and_adapted(tiny, sources, target, caplog):
    adapter = tiny(method="source_only", norm="batch_norm").fit(sources, None)
    with caplog.at_level(logging.INFO, "dacbn"):
        adapter.predict(target[0])
    assert "averaged" not in caplog.text
    adapter.recalibrate(target[0])
    adapter.adapt(target[0], steps=2)
    assert adapter.predict(target[0]).shape == (17,)


def test_a_stopped_training_goes_on_as_if_it_had_not(tiny, sources, tmp_path, weights):
    options = {"method": "m3sda", "checkpoint_every": 2}
    whole = tiny(**options).fit(sources, None)
    tiny(**options, steps=4).fit(sources, None, run=tmp_path / "run")
    longer = DomainAdapter.from_run(tmp_path / "run")
    longer.config = TrainConfig.from_options(**{**vars(longer.config), "steps": 6})
    longer.fit(sources, None, run=tmp_path / "run", resume=True)
    assert longer.config.target == () and len(weights(longer)) == len(weights(whole))


def test_the_loss_by_pairs_is_that_of_two_sources():
    torch.manual_seed(0)
    network = create_network("digits_cnn", "batch_norm", 3)
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8) % 3
    alone = Batch(images, labels, images[:0], source_counts=(5, 3))
    as_target = Batch(images[:5], labels[:5], images[5:])
    method = methods.build("deep_coral", network)
    torch.testing.assert_close(
        method(alone, 0.5).losses["coral"], method(as_target, 0.5).losses["coral"]
    )


def test_a_batch_of_one_source_alone_adds_nothing():
    network = create_network("digits_cnn", "batch_norm", 3)
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8) % 3
    for name in ("dan", "cmd", "jan", "deep_coral", "m3sda"):
        batch = Batch(images, labels, images[:0], source_counts=(8, 0))
        step = methods.build(name, network)(batch, 0.5)
        added = {key: value for key, value in step.losses.items() if key != "classification"}
        assert list(added.values()) == [0.0]
