"""Groups of settings: a new setting is added in one place."""

from dataclasses import dataclass, fields, replace
from typing import Annotated

import pytest

from dacbn.analysis.presentation.settings import label_runs
from dacbn.comparison.run_comparison import _shared
from dacbn.limits import AT_LEAST_1
from dacbn.training import TrainConfig, train_command
from dacbn.training.roles import RESUMABLE, Role
from dacbn.training.run_info import RunInfo, check_resumable, write_run_info
from dacbn.training.setting_groups import (
    DataSettings,
    NetworkSettings,
    OptimSettings,
    RecordSettings,
)
from dacbn.training.target_only import adaptation_config


@dataclass(frozen=True)
class MoreNetwork(NetworkSettings):
    """A group with a new setting."""

    width: Annotated[int, AT_LEAST_1] = 3


@dataclass(frozen=True)
class MoreRecords(RecordSettings):
    """A group with a new setting."""

    plot_every: int = 0


@dataclass(frozen=True)
class MoreConfig(TrainConfig, MoreRecords, MoreNetwork):
    """All settings, and some of no group."""

    style: Annotated[str, Role.VARIED, Role.NAMING] = "a"
    place: Annotated[str, Role.UNREPORTED] = "b"
    noise: float = 0.0


@pytest.fixture
def began(tmp_path, monkeypatch):
    """Return the folder of a run, of which config.json is read as the new settings, and these."""
    monkeypatch.setattr("dacbn.training.run_info.TrainConfig", MoreConfig)
    config = MoreConfig()
    write_run_info(tmp_path, RunInfo(config, ("a", "b"), 32))
    return tmp_path, config


def test_settings_are_in_the_order_of_the_groups():
    names = [field.name for field in fields(TrainConfig)]
    groups = (DataSettings, NetworkSettings, OptimSettings, RecordSettings)
    assert names == [field.name for group in groups for field in fields(group)]
    assert names[0] == "source" and names[-1] == "tensorboard"


def test_a_resumed_training_may_change_what_changes_nothing_that_is_learned(began):
    folder, config = began
    for change in ({"plot_every": 2}, {"place": "c"}, {"steps": 9000}):
        check_resumable(folder, replace(config, **change))
    for name, value in {"width": 4, "style": "d", "noise": 0.1}.items():
        with pytest.raises(ValueError, match=f"began with another {name}: "):
            check_resumable(folder, replace(config, **{name: value}))


def test_an_adaptation_keeps_what_belongs_to_the_network():
    with pytest.raises(ValueError, match="leave out width"):
        adaptation_config(MoreConfig(), "usps", "shot", {"width": 4})
    options = {"noise": 0.1, "place": "c", "style": "d", "plot_every": 2}
    adapted = adaptation_config(MoreConfig(width=5), "usps", "shot", options)
    assert adapted == MoreConfig(width=5, target="usps", method="shot", **options)


def test_cells_share_what_is_neither_varied_nor_unreported():
    shared = _shared(MoreConfig())
    assert {"width", "plot_every", "noise"} <= shared.keys()
    assert not {"style", "place", "norm", "method", "seed", "device"} & shared.keys()


def test_runs_are_labelled_by_new_settings_that_change_what_is_learned():
    configs = {
        "a": MoreConfig(width=1, style="x", plot_every=1, place="c"),
        "b": MoreConfig(width=2, style="y", plot_every=2, place="d"),
    }
    assert label_runs(configs) == {"a": "x, width 1", "b": "y, width 2"}


def test_the_command_names_what_varies():
    assert "--style a" in train_command(MoreConfig())


def test_a_new_limit_is_checked():
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        MoreConfig.from_options(width=0)


def test_every_role_has_the_settings_that_it_should():
    """The sets that depend on roles, written out once more."""
    assert set(TrainConfig.names(RESUMABLE)) == {
        *("steps", "device", "compile", "data_root", "download", "on_unreadable", "tensorboard"),
        *("cache", "log_every", "eval_every", "checkpoint_every", "snapshot_every", "validators"),
        "unseen",
        *("weights", "process_timeout"),  # where the file is; its hash may not change
    }
    assert set(TrainConfig.names(Role.UNREPORTED)) == {
        *("device", "data_root", "download", "cache", "tensorboard", "weights", "process_timeout"),
        *("log_every", "checkpoint_every", "snapshot_every"),
    }
    assert set(TrainConfig.names(Role.KEPT)) == {
        *("merge_sources", "merge_targets", "unknown", "balance_domains", "balance_classes"),
        *("target_labelled", "labelled_batch_size"),
        *("source", "source_batch_size", "image_size", "fit", "backbone", "pretrained", "norm"),
        *("norm_sites", "norm_replaces", "input_norm", "statistics", "cluster_ids"),
        *("classifier", "classifier_temperature", "bottleneck", "unseen"),
        *("weights", "weights_sha256", "pixel_mean", "pixel_std"),
    }
    assert TrainConfig.names(Role.VARIED) == ["norm", "method", "seed"]
    images = ["source", "target", "target_labelled", "image_size", "fit"]
    assert TrainConfig.names(Role.IMAGES) == images
    assert TrainConfig.names(Role.NAMING) == ["source", "target", "backbone", "norm", "method"]
