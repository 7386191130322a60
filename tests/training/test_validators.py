"""Label-free scores against references from their definitions, and on models planted to differ."""

import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from scipy.stats import entropy
from sklearn.metrics import accuracy_score
from validator_reference import (
    draw_inputs,
    nearest_source_accuracy,
    neighbourhood_density,
    plant,
)

from dacbn.batch import Output
from dacbn.registry import UnknownNameError
from dacbn.training import ValidatorInputs, validate, validators
from dacbn.training.validator_inputs import MAX_IMAGES

EVERY = list(validators)
# They look at the source's errors, or at whether predictions agree with features.
TESTED_APART = {"source_accuracy", "dev", "dev_normalised", "reverse_validation"}


@pytest.fixture
def drawn():
    return draw_inputs()


def probabilities(inputs):
    return softmax(inputs.target.logits.double().numpy(), 1)


def test_source_accuracy_is_scikit_learns(drawn):
    expected = accuracy_score(drawn.source_labels, drawn.source.logits.argmax(1))
    assert validators["source_accuracy"](drawn) == pytest.approx(expected)
    assert 0 < expected < 1


def test_entropy_is_minus_scipys(drawn):
    assert validators["entropy"](drawn) == pytest.approx(-entropy(probabilities(drawn).T).mean())


def test_information_is_that_of_the_joint_table(drawn):
    joint = probabilities(drawn) / len(drawn.target.logits)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    expected = rel_entr(joint, independent).sum()
    assert validators["information_maximisation"](drawn) == pytest.approx(expected)


def test_bnm_is_numpys_nuclear_norm_per_image(drawn):
    expected = np.linalg.norm(probabilities(drawn), "nuc") / len(drawn.target.logits)
    assert validators["bnm"](drawn) == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 2, 30, 270])  # 270 are more than a chunk
def test_snd_is_the_mean_entropy_of_neighbourhoods(count):
    inputs = draw_inputs(target=count)
    expected = neighbourhood_density(inputs.target.logits) if count > 1 else 0
    assert validators["snd"](inputs) == pytest.approx(expected)


def test_equal_predictions_are_everybodys_neighbours():
    logits = torch.tensor([[3.0, 1.0]]).repeat(50, 1)
    inputs = draw_inputs(classes=2)._replace(target=Output(torch.randn(50, 6), logits))
    assert validators["snd"](inputs) == pytest.approx(math.log(49))


def test_snd_takes_some_of_many_images():
    logits = torch.randn(MAX_IMAGES + 500, 3)
    inputs = draw_inputs(classes=3)._replace(target=Output(logits, logits))
    assert math.log(MAX_IMAGES) / 2 < validators["snd"](inputs) < math.log(MAX_IMAGES)


def test_class_ami_is_one_for_clusters_that_are_classes_whatever_their_names():
    assert validators["class_ami"](plant(0.0)) == pytest.approx(1)
    inputs = plant(0.0)
    renamed = inputs.target._replace(logits=inputs.target.logits[:, [2, 0, 3, 1]])
    assert validators["class_ami"](inputs._replace(target=renamed)) == pytest.approx(1)


def test_class_ami_is_nothing_for_predictions_unrelated_to_clusters():
    inputs = plant(0.0, count=2000)
    logits = inputs.target.logits[torch.randperm(2000, generator=torch.Generator())]
    unrelated = inputs._replace(target=inputs.target._replace(logits=logits))
    assert abs(validators["class_ami"](unrelated)) < 0.01


def test_nearest_source_is_that_of_a_loop(drawn):
    assert validators["nearest_source"](drawn) == pytest.approx(nearest_source_accuracy(drawn))


def test_what_points_away_from_the_source_has_no_near_source():
    inputs = plant(0.0)
    away = inputs.target._replace(features=-inputs.source.features.abs())
    inputs = inputs._replace(
        source=inputs.source._replace(features=inputs.source.features.abs()), target=away
    )
    assert validators["nearest_source"](inputs) == 0


def test_reverse_validation_asks_the_source_what_the_target_taught():
    inputs = plant(0.0)
    assert validators["reverse_validation"](inputs) == 1
    swapped = inputs.target._replace(logits=inputs.target.logits[:, [1, 0, 2, 3]])
    # classes 0 and 1, half of the source, are taken for each other
    assert validators["reverse_validation"](inputs._replace(target=swapped)) == 0.5


@pytest.mark.parametrize("name", sorted(set(EVERY) - TESTED_APART))
def test_the_model_that_tells_target_classes_apart_is_preferred(name):
    good, bad = plant(0.1), plant(1.0)
    assert validators[name](good) > validators[name](bad)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("sizes", [(1, 1), (2, 5), (5, 2), (40, 30)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_any_inputs_give_a_finite_score_twice_the_same(name, sizes, scale):
    inputs = draw_inputs(*sizes)
    outputs = [Output(scale * o.features, scale * o.logits) for o in inputs[::2]]
    inputs = ValidatorInputs(outputs[0], inputs.source_labels, outputs[1])
    score = validators[name](inputs)
    assert math.isfinite(score) and validators[name](inputs) == score


@pytest.mark.parametrize("name", EVERY)
def test_one_class_for_all_gives_a_finite_score(name, drawn):
    logits = torch.tensor([[9.0, 0, 0, 0]]).repeat(30, 1)
    inputs = drawn._replace(target=drawn.target._replace(logits=logits))
    assert math.isfinite(validators[name](inputs))


@pytest.mark.parametrize("name", EVERY)
def test_no_random_number_of_the_training_is_drawn(name, drawn):
    before, state = torch.get_rng_state(), np.random.get_state()[1].copy()
    validators[name](drawn)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(state, np.random.get_state()[1])


def test_outputs_that_are_no_numbers_have_no_scores(drawn):
    drawn.target.features[3, 1] = math.inf
    scores = validate(drawn, EVERY)
    assert list(scores) == EVERY and all(map(math.isnan, scores.values()))


def test_an_unknown_validator_names_the_known_ones(drawn):
    with pytest.raises(UnknownNameError, match=r"validator 'bmn'. Did you mean 'bnm'\? Known: bnm"):
        validate(drawn, ["bmn"])


def test_inputs_have_no_field_for_target_labels():
    assert [name for name in ValidatorInputs._fields if "label" in name] == ["source_labels"]
