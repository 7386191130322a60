"""The cells of a comparison: what is trained, under which settings and names."""

import pytest

from dacbn.comparison import Variant, choose_variants, make_grid
from dacbn.comparison.cells import check_settings
from dacbn.comparison.grid import FROZEN, baseline_of, probe_settings, reference_of
from dacbn.training import TrainConfig

UCB = "ucb_norm(num_clusters=2, assign='sample')"


def test_every_norm_meets_every_method_and_every_seed():
    cells = make_grid(TrainConfig(seed=7), choose_variants(["batch_norm", UCB], ["a", "b"]), 3)
    found = {(cell.config.norm, cell.config.method, cell.config.seed) for cell in cells}
    assert len(cells) == len(found) == 12
    assert {seed for _, _, seed in found} == {7, 8, 9}
    # a comparison that is stopped early has the same seeds of all
    assert [cell.config.seed for cell in cells] == [7] * 4 + [8] * 4 + [9] * 4


def test_other_settings_are_shared():
    config = TrainConfig(steps=9, input_norm="layer_norm", lr=0.5)
    (cell,) = make_grid(config, choose_variants([UCB], ["dann"]), 1)
    assert cell.config == TrainConfig(
        steps=9, input_norm="layer_norm", lr=0.5, norm=UCB, method="dann"
    )


def test_names_are_readable_and_fit_for_a_folder():
    variants = choose_variants([UCB], ["cdan(entropy=True) + mcc"])
    names = [cell.name for cell in make_grid(TrainConfig(), variants, 2)]
    assert names == [
        f"cdan-entropy=True+mcc-ucb_norm-num_clusters=2-assign=sample-seed{seed}" for seed in (0, 1)
    ]


def test_controls_follow_what_was_asked_for_each_once():
    norms = ["batch_norm", "ucb_norm(num_clusters=2)", "mode_norm(num_clusters=2)"]
    variants = choose_variants(norms, ["source_only", "dann"], controls=True)
    assert [variant.control for variant in variants[:6]] == [""] * 6
    of_dann = [v[0::3] for v in variants[6:] if v.method == "dann"]
    assert of_dann == [
        ("ucb_norm(num_clusters=1)", "one cluster"),
        ("random_gate_norm(num_clusters=2)", "random gates"),
        ("frozen_gate_norm(num_clusters=2)", "frozen gates"),
        ("matched_batch_norm(num_clusters=2)", "matched parameters"),
        ("batch_norm", "input standardisation"),
        ("mode_norm(num_clusters=1)", "one cluster"),
    ]
    assert len({cell.name for cell in make_grid(TrainConfig(), variants, 1)}) == len(variants)


def test_a_control_that_was_asked_for_is_no_control():
    norms = ["ucb_norm(num_clusters=2)", "ucb_norm(num_clusters=1)"]
    variants = choose_variants(norms, ["dann"], controls=True)
    assert [v.control for v in variants if v.norm == "ucb_norm(num_clusters=1)"] == [""]


def test_controls_change_the_settings_they_name():
    variants = choose_variants(["scb_norm"], ["dann"], controls=True)
    configs = {c.variant.control: c.config for c in make_grid(TrainConfig(), variants, 1)}
    assert configs["random cluster ids"].cluster_ids == "random"
    assert configs["swapped cluster ids"].cluster_ids == "swapped"
    standardised = configs["input standardisation"]
    assert (standardised.norm, standardised.input_norm) == ("batch_norm", "instance_norm")
    assert configs[""].cluster_ids == "domain" and configs[""].input_norm is None


def test_norms_are_compared_with_the_first_and_methods_with_no_adaptation():
    variants = choose_variants(["batch_norm", "scb_norm"], ["dann", "source_only"], controls=True)
    ours = Variant("scb_norm", "dann")
    assert reference_of(ours, variants) == Variant("batch_norm", "dann")
    assert baseline_of(ours, variants) == Variant("scb_norm", "source_only")
    assert reference_of(Variant("batch_norm", "dann"), variants) is None
    assert baseline_of(Variant("scb_norm", "source_only"), variants) is None
    control = next(v for v in variants if v.control == "random cluster ids" and v[1] == "dann")
    assert reference_of(control, variants) == ours
    assert baseline_of(control, variants) == control._replace(method="source_only")


def test_without_source_only_the_first_method_is_the_one_to_beat():
    variants = choose_variants(["batch_norm"], ["dann", "cdan"])
    assert baseline_of(variants[1], variants) == variants[0]


@pytest.mark.parametrize(
    ("norms", "methods", "message"),
    [
        ([], ["dann"], "at least one norm to compare, and each once: got"),
        (["batch_norm"], [], "one method"),
        (["batch_norm", "batch_norm"], ["dann"], "one norm"),
    ],
)
def test_nothing_or_something_twice_is_refused(norms, methods, message):
    with pytest.raises(ValueError, match=message):
        choose_variants(norms, methods)


def test_two_ways_to_write_one_norm_are_refused():
    with pytest.raises(ValueError, match="one norm to compare, and each once"):
        choose_variants(["ucb_norm(num_clusters=2)", "ucb_norm( num_clusters=2)"], ["dann"])


def test_two_norms_whose_folders_would_have_one_name_are_refused():
    variants = choose_variants(["ucb_norm(assign='a b')", "ucb_norm(assign='ab')"], ["dann"])
    with pytest.raises(ValueError, match="use the same folder dann-ucb_norm-assign=ab-see"):
        make_grid(TrainConfig(), variants, 1)


def test_no_seed_is_refused():
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        make_grid(TrainConfig(), choose_variants(["batch_norm"], ["dann"]), 0)


def test_the_linear_probe_is_a_row_once():
    norms, methods = ["ucb_norm", "batch_norm"], ["source_only", "dann"]
    *asked, probe = choose_variants(norms, methods, probe=FROZEN)
    assert asked == choose_variants(norms, methods)
    assert probe == Variant("ucb_norm", "source_only", (("train", "head"),), "linear probe")
    (*_, cell) = make_grid(TrainConfig(), [*asked, probe], 1)
    assert cell.config == TrainConfig(norm="ucb_norm", method="source_only", train="head")
    assert reference_of(probe, [*asked, probe]) == Variant("ucb_norm", "source_only")
    # methods are compared with source_only only where it was asked for
    both = choose_variants(norms, ["mcd", "dann"], probe=FROZEN)
    assert baseline_of(both[-2], both) == Variant("batch_norm", "mcd")
    # no probe starts at class centres of the target
    centres = TrainConfig(weights="net.safetensors", classifier_start="centres")
    (cell,) = make_grid(
        centres, choose_variants(norms, ["dann"], probe=probe_settings(centres))[2:], 1
    )
    assert (cell.config.train, cell.config.classifier_start) == ("head", "probe")
    # where all cells train heads, source_only is it
    assert choose_variants(norms, methods, probe=()) == asked
    assert choose_variants(norms, ["dann"], probe=())[-1].title.endswith("(control: linear probe)")


def test_a_grid_gives_labelled_target_images_to_the_methods_that_take_them():
    config = TrainConfig(target=("b",), target_labelled=("few.txt",))
    methods = ["source_only", "mme", "source_and_target + mcc"]
    cells = make_grid(config, choose_variants(["batch_norm"], methods), 1)
    given = {cell.variant.method: cell.config.target_labelled for cell in cells}
    assert given == {"source_only": (), "mme": ("few.txt",), methods[2]: ("few.txt",)}
    (cell,) = make_grid(config, choose_variants(["batch_norm"], ["dann"]), 1)
    with pytest.raises(ValueError, match="dann does not use labelled target images"):
        check_settings(cell.config)
