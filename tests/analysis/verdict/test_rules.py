"""Every rule finds the problem that is planted for it, and nothing in healthy trainings."""

import re
from dataclasses import replace

import numpy as np
import pytest

from dacbn.analysis.verdict import rules
from dacbn.analysis.verdict.rules import RULES, Evidence


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
        records(target_test_accuracy=[0.5, 0.8, 0.6]),
        "fell from 0.800 at step 40 to 0.600",
    ),
    rules.target_is_overconfident: (Evidence(excess=0.2), "exceeds accuracy by 0.20"),
    rules.validators_disagree: (
        records(validator_bnm=[1, 2, 3, 4], validator_snd=[4, 3, 2, 1]),
        r"bnm and snd rank the evaluations with a correlation of -1\.00",
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
        records(target_test_accuracy=[0.5, 0.8, 0.79]),
        records(source_test_accuracy=[0.9, 0.5]),
    ],
    rules.target_is_overconfident: [Evidence(excess=0.05), Evidence(excess=-0.3)],
    rules.validators_disagree: [
        records(validator_bnm=[1, 2, 3, 4], validator_snd=[1, 2, 3, 4]),
        records(validator_bnm=[1, 2, 3, 4], validator_snd=[4, 4, 4, 4]),
        records(validator_bnm=[1, 2, 3], validator_snd=[3, 2, 1]),
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
    assert rules.chance_variation(shares, images) == pytest.approx(expected, rel=0.03)


def test_a_source_that_is_never_learned_is_found():
    found = rules.source_is_not_learned(records(source_accuracy=[0.6] * 20))
    assert found is not None and "ended at 0.60" in found.observation


def test_a_head_of_several_domains_is_not_judged_by_the_chance_between_two():
    curves = {"domain_accuracy": curve(*[0.5] * 20)}
    assert rules.domain_head_at_chance(Evidence(curves, proxy_distance=1.8)) is not None
    curves["source_test_accuracy/usps"] = curve(0.9)
    assert rules.domain_head_at_chance(Evidence(curves, proxy_distance=1.8)) is None
