"""Every rule finds the problem that is planted for it, and nothing in healthy trainings."""

import re
from dataclasses import replace

import numpy as np
import pytest

from dacbn.analysis.verdict import rules, target_rules
from dacbn.analysis.verdict.evidence import Evidence, alternatives
from dacbn.analysis.verdict.rules import RULES
from dacbn.training import TrainConfig


def curve(*values, every=20):
    values = np.array(values, dtype=float)
    return np.column_stack([every * np.arange(1, len(values) + 1), values])


def records(**quantities):
    return Evidence({name: curve(*values) for name, values in quantities.items()}, 400)


def shares(source, target):
    return Evidence(source_shares=np.array(source), target_shares=np.array(target))


LEVEL = [0.98] * 20
EVEN = [0.25] * 4
PROBLEMS = {  # for each rule, evidence with its problem, and a part of the finding
    rules.training_is_cut_short: (
        records(classification=[1, 1, 1]),
        "ended at step 60 of 400",
    ),
    rules.source_is_not_learned: (
        records(source_accuracy=[*np.linspace(0.5, 0.95, 20)]),
        "rose from 0.89 to 0.94",
    ),
    rules.training_oscillates: (
        records(source_accuracy=[0.98] * 10 + [0.98, 0.7] * 5),
        "oscillates by ±0.20",
    ),
    rules.classes_are_missing: (shares(EVEN, [0.5, 0.49, 0.01, 0]), "use 2 of 4 classes"),
    rules.classes_are_out_of_balance: (
        shares(EVEN, [0.5, 0.2, 0.2, 0.1]),
        r"by 0\.25 \(total variation\); class 0 is predicted most in excess, 50% against 25%",
    ),
    rules.domain_head_too_strong: (
        records(domain_accuracy=[0.6, 0.99, 0.8] + [0.99] * 17),
        "accuracy is 0.99 over the last quarter, and not below 0.97 since step 80",
    ),
    rules.domain_head_at_chance: (
        Evidence({"domain_accuracy": curve(*[0.5] * 20)}, proxy_distance=1.8),
        r"at chance \(0\.50\), yet a linear classifier .*1\.80",
    ),
    rules.domains_stay_apart: (
        Evidence(proxy_distance=1.5),
        "predicts the domain of 88% of the images",
    ),
    rules.target_has_fallen: (
        records(target_test_accuracy=[0.5, 0.8, 0.6], target_test_images=[70] * 3),
        "fell from 0.800 at step 40 to 0.600, of 70 images",
    ),
    rules.target_is_overconfident: (Evidence(excess=0.2), "exceeds accuracy by 0.20"),
    rules.validators_disagree: (
        records(validator_bnm=[1, 2, 3, 4, 5], validator_snd=[5, 4, 3, 2, 1]),
        r"bnm and snd rank the 5 evaluations with a correlation of -1\.00",
    ),
    rules.classes_fall_behind: (
        Evidence(right=np.array([[20, 20], [18, 20], [0, 12]]), classes=("cup", "pen", "jar")),
        "where all together reach 73%: jar 0 of 12",
    ),
    rules.accuracy_hides_classes: (
        records(
            target_test_accuracy=[0.975],
            target_test_class_accuracy=[0.75],
            target_test_images=[200],
        ),
        r"is 97\.5%, and its mean over classes 75\.0%: frequent classes decide",
    ),
    rules.clusters_collapse: (
        Evidence(overlaps={"a": 0.97, "b": 0.5, "c": float("nan")}),
        r"in 2 of 3 mixture layers \(a, c\) the components overlap by 0\.95 or more",
    ),
}
HEALTHY = {
    rules.training_is_cut_short: [records(classification=[1] * 20), Evidence(steps=400)],
    rules.source_is_not_learned: [
        records(source_accuracy=LEVEL),
        records(source_accuracy=[0.1, 0.9]),  # too few records
    ],
    rules.training_oscillates: [
        records(source_accuracy=[0.1, 0.9] * 5 + [0.98] * 10),  # only at first
        records(source_accuracy=[*np.linspace(0.1, 0.99, 20)]),
    ],
    rules.classes_are_missing: [
        shares(EVEN, [0.3, 0.3, 0.3, 0.1]),
        shares([0.5, 0.5, 0, 0], [0.6, 0.4, 0, 0]),  # the source lacks them too
        shares([0.99, 0.01], [0.995, 0.005]),  # rare in the source
    ],
    rules.classes_are_out_of_balance: [
        shares(EVEN, [0.3, 0.3, 0.2, 0.2]),
        replace(shares(EVEN, [0.5, 0.2, 0.2, 0.1]), images=40),  # may be chance
    ],
    rules.domain_head_too_strong: [
        records(domain_accuracy=[0.99] * 10 + [0.8] * 10),
        records(domain_accuracy=[0.99] * 5),
    ],
    rules.domain_head_at_chance: [
        Evidence({"domain_accuracy": curve(*[0.5] * 20)}, proxy_distance=0.2),
        Evidence({"domain_accuracy": curve(*[0.9] * 20)}, proxy_distance=1.8),
        Evidence({"domain_accuracy": curve(*[0.5] * 20)}),
    ],
    rules.domains_stay_apart: [Evidence(proxy_distance=0.4), Evidence()],
    rules.target_has_fallen: [
        records(target_test_accuracy=[0.5, 0.8, 0.79], target_test_images=[5000] * 3),
        # 4 of 70 images
        records(target_test_accuracy=[0.2, 0.286, 0.229], target_test_images=[70] * 3),
        records(target_test_accuracy=[0.5, 0.8, 0.6]),  # of how many images is not known
        records(source_test_accuracy=[0.9, 0.5]),
    ],
    rules.target_is_overconfident: [
        Evidence(excess=0.05),
        Evidence(excess=-0.3),
        Evidence(excess=0.12, right=np.array([[6, 10], [7, 10]])),  # of 20 images
    ],
    rules.classes_fall_behind: [
        Evidence(right=np.array([[20, 20], [18, 20], [0, 1]])),  # one image says little
        Evidence(right=np.array([[15, 20], [17, 20], [0, 0]])),
    ],
    rules.accuracy_hides_classes: [
        records(
            target_test_accuracy=[0.8],
            target_test_class_accuracy=[0.69],
            target_test_images=[40],
        ),
        records(target_test_accuracy=[0.975], target_test_class_accuracy=[0.75]),
    ],
    rules.validators_disagree: [
        records(validator_bnm=[1, 2, 3, 4], validator_snd=[1, 2, 3, 4]),
        records(validator_bnm=[1, 2, 3, 4], validator_snd=[4, 4, 4, 4]),
        records(validator_bnm=[1, 2, 3, 4], validator_snd=[4, 3, 2, 1]),  # too few to rank
        records(validator_bnm=[1, 2, 3, 4, 5], validator_snd=[3, 2, 5, 1, 4]),
    ],
    rules.clusters_collapse: [Evidence(overlaps={"a": 0.5, "b": 0.94})],
}


def test_every_rule_is_tested():
    assert set(RULES) == PROBLEMS.keys() == HEALTHY.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_its_problem_and_gives_advice(rule):
    evidence, expected = PROBLEMS[rule]
    found = rule(evidence)
    assert found is not None and found.advice
    assert re.search(expected, found.observation), found.observation


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_nothing_in_healthy_trainings(rule):
    for evidence in [*HEALTHY[rule], Evidence()]:
        assert rule(evidence) is None


def test_findings_name_the_classes():
    planted = replace(PROBLEMS[rules.classes_are_out_of_balance][0], classes=("cup", *"abc"))
    found = rules.classes_are_out_of_balance(planted)
    assert found is not None and "class cup is predicted most in excess" in found.observation


@pytest.mark.parametrize("images", [50, 800])
def test_chance_variation_is_the_mean_distance_of_two_samples_of_one_distribution(images):
    random, shares = np.random.default_rng(0), np.array([0.4, 0.3, 0.2, 0.1])
    samples = random.multinomial(images, shares, (2, 4000)) / images
    expected = np.abs(samples[0] - samples[1]).sum(1).mean() / 2
    assert target_rules.chance_variation(shares, images) == pytest.approx(expected, rel=0.03)


def test_a_source_that_is_never_learned_is_found():
    found = rules.source_is_not_learned(records(source_accuracy=[0.6] * 20))
    assert found is not None and "ended at 0.60" in found.observation


def test_a_head_of_several_domains_is_not_judged_by_the_chance_between_two():
    curves = {"domain_accuracy": curve(*[0.5] * 20)}
    assert rules.domain_head_at_chance(Evidence(curves, proxy_distance=1.8)) is not None
    curves["source_test_accuracy/usps"] = curve(0.9)
    assert rules.domain_head_at_chance(Evidence(curves, proxy_distance=1.8)) is None


def settings(method="dann", norm="ucb_norm", **options):
    return TrainConfig.from_options(method=method, norm=norm, **options)


def advice(rule, **options):
    found = rule(replace(PROBLEMS[rule][0], config=settings(**options)))
    assert found is not None
    return found.advice


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("method", ["source_only", "adda", "pada"])
def test_a_method_without_weight_is_not_told_to_change_it(rule, method):
    problem = replace(PROBLEMS[rule][0], config=settings(method))
    if (found := rule(problem)) is not None:
        assert "weight" not in found.advice


def test_what_a_run_does_already_is_not_advised():
    assert "bsp" in advice(rules.domain_head_too_strong)
    assert "bsp" not in advice(rules.domain_head_too_strong, method="dann + bsp")
    assert "bnm" in advice(rules.classes_are_missing)
    assert "bnm" not in advice(rules.classes_are_missing, method="dann + bnm")
    assert "bnm" not in advice(rules.classes_are_missing, method="shot")  # it has no source
    assert "cdan, mcc" in advice(rules.classes_are_out_of_balance)
    assert "(mcc)" in advice(rules.classes_are_out_of_balance, method="cdan")
    assert "clip_norm" in advice(rules.training_oscillates)
    assert "clip_norm" not in advice(rules.training_oscillates, clip_norm=1.0)
    assert "aligned nevertheless" in advice(rules.domains_stay_apart)
    assert "aligned nevertheless" not in advice(rules.domains_stay_apart, method="source_only")


def test_mixtures_are_advised_another_assignment_than_their_own():
    by_sample = advice(rules.clusters_collapse, norm="ucb_norm(assign='sample')")
    assert "assign='position' or assign='channel'" in by_sample and "'sample'" not in by_sample
    by_channel = advice(rules.clusters_collapse, norm="ucb_norm")
    assert "'sample'" in by_channel and "'channel'" not in by_channel
    assert "assign" not in advice(rules.clusters_collapse, norm="mode_norm")
    assert "norm_sites" in advice(rules.clusters_collapse)
    assert "norm_sites" not in advice(rules.clusters_collapse, norm_sites="first")


def test_a_rise_that_few_images_explain_is_no_rise():
    rising = records(source_accuracy=[*np.linspace(0.5, 0.94, 19), 0.97])
    small = settings(log_every=1, source_batch_size=4)
    large = settings(log_every=50, source_batch_size=64)
    assert "has not converged" in rules.source_is_not_learned(rising).observation
    assert rules.source_is_not_learned(replace(rising, config=large)) is not None
    found = rules.source_is_not_learned(replace(rising, config=small))
    assert found is None or "converged" not in found.observation


def test_a_rare_class_that_few_images_could_miss_is_not_missed():
    few = replace(shares([0.95, 0.05], [1.0, 0.0]), images=20)
    assert rules.classes_are_missing(few) is None
    assert rules.classes_are_missing(replace(few, images=2000)) is not None


def test_images_of_unknown_classes_have_a_name():
    right = np.array([[20, 20], [18, 20], [0, 12]])
    found = rules.classes_fall_behind(Evidence(right=right, classes=("cup", "pen")))
    assert "unknown 0 of 12" in found.observation


def test_alternatives_are_one_sentence():
    assert alternatives("raise a", "", "lower b", "use c") == "Raise a, lower b, or use c"
    assert alternatives("raise a") == "Raise a" and alternatives("", "") == ""
