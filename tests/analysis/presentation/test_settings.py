"""Settings of runs as text, and names that tell runs apart."""

from dacbn.analysis.presentation.settings import current_versions, describe_config, label_runs
from dacbn.training import TrainConfig


def test_runs_are_named_by_what_differs():
    configs = {
        "runs/a": TrainConfig(norm=None, seed=1),
        "runs/b": TrainConfig(method="source_only", seed=2),
    }
    assert label_runs(configs) == {
        "runs/a": "dann, own norms, seed 1",
        "runs/b": f"source_only, {TrainConfig.norm}, seed 2",
    }


def test_the_source_is_named_before_the_target():
    there, back = TrainConfig(source="mnist", target="usps"), TrainConfig("usps", "mnist")
    assert label_runs({"a": there, "b": back}) == {"a": "mnist, usps", "b": "usps, mnist"}


def test_runs_of_the_same_settings_are_named_by_their_folders():
    configs = {"runs/a": TrainConfig(), "runs/b": TrainConfig()}
    assert label_runs(configs) == {"runs/a": "runs/a", "runs/b": "runs/b"}


def test_what_changes_nothing_that_is_learned_names_no_run():
    configs = {
        "a": TrainConfig(steps=5, eval_every=1, norm="ucb_norm(assign='sample')"),
        "b": TrainConfig(steps=6, log_every=2, norm='ucb_norm( assign="sample" )'),
    }
    assert label_runs(configs) == {"a": "steps 5", "b": "steps 6"}


def test_settings_and_versions_are_text():
    described = describe_config(TrainConfig(classifier=(64, 32)))
    assert described["classifier"] == "64 32" and described["norm"] == TrainConfig.norm
    assert {"python", "torch", "numpy"} <= current_versions().keys()
