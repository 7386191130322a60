"""Spaces are read, filled, and taken to their ends; what cannot be read says how to write it."""

import pytest

from dacbn.spec import Spec
from dacbn.training import TrainConfig
from dacbn.tuning.checks import check_space
from dacbn.tuning.default_spaces import FROM_SCRATCH, HEAD, PRETRAINED, WITHOUT_TARGET
from dacbn.tuning.space import Alternatives, extremes, fill, read_space

CONFIG = TrainConfig()


def first(name, open_):
    return next(iter(open_.by_text)) if isinstance(open_, Alternatives) else open_.low


def names_drawn(text):
    """List the names of what is open where the last alternatives are taken."""
    names = []

    def last(name, open_):
        names.append(name)
        return list(open_.by_text)[-1] if isinstance(open_, Alternatives) else open_.high

    for name, node in read_space(text).items():
        fill(node, name, last)
    return names


def test_settings_are_apart_by_spaces_commas_or_lines():
    text = "lr=log(1e-4, 1e-2), optimizer = [adamw, sgd]\n clip_norm=[None, 1] steps=5"
    space = read_space(text)
    assert list(space) == ["lr", "optimizer", "clip_norm", "steps"]
    assert [list(extremes(each)) for each in space.values()] == [
        *([1e-4, 1e-2], ["adamw", "sgd"], [None, 1], [5]),
    ]


def test_values_are_what_settings_take():
    text = "classifier=[(), (64, 32)] norm=[None, ucb_norm(assign=[sample, channel], eps=1e-3)]"
    space = read_space(text)
    assert list(extremes(space["classifier"])) == [(), (64, 32)]
    values = list(extremes(space["norm"]))
    assert values == [None, *(f"ucb_norm(assign='{a}', eps=0.001)" for a in ("sample", "channel"))]
    assert all(isinstance(Spec(value), str) for value in values[1:])


def test_sums_have_open_options():
    node = read_space("method=mcc + dann(weight=log(0.1, 1))")["method"]
    assert list(extremes(node)) == ["mcc + dann(weight=0.1)", "mcc + dann(weight=1)"]
    assert fill(node, "method", lambda *_: 0.25) == "mcc + dann(weight=0.25)"


def test_every_pair_of_ends_of_a_specification_is_tried():
    node = read_space("norm=ucb_norm(num_clusters=between(2, 5), eps=log(1e-5, 1e-3))")["norm"]
    assert len(set(extremes(node))) == 4


def test_what_is_open_has_a_name_of_its_own():
    text = "lr=log(1e-4, 1e-2) method=[dann(weight=log(0.1, 1)), mcc + dann(weight=log(0.5, 1))]"
    assert names_drawn(text) == ["lr", "method", "method[2].dann.weight"]
    assert names_drawn("method=dann(weight=log(0.1, 1))") == ["method.dann.weight"]


@pytest.mark.parametrize(
    ("setting", "whole"),
    [
        ("steps=between(100, 300)", True),
        ("norm=ucb_norm(num_clusters=between(2, 5))", True),
        ("norm=[batch_norm, ucb_norm(num_clusters=log(2, 5))]", True),
        ("method=dann(weight=between(0, 1))", False),
        ("lr=between(1, 2)", False),
        ("lr=[None, between(1, 2)]", False),
        ("weight_decay=between(0.0, 1.0)", False),
    ],
)
def test_ranges_are_of_whole_numbers_where_nothing_else_fits(setting, whole):
    found = []

    def look(name, open_):
        if isinstance(open_, Alternatives):
            return list(open_.by_text)[-1]
        found.append(open_.whole)
        return open_.low

    for name, node in check_space(read_space(setting), CONFIG).items():
        fill(node, name, look)
    assert found == [whole]


@pytest.mark.parametrize("text", [FROM_SCRATCH, PRETRAINED, HEAD])
def test_default_spaces_fit(text):
    check_space(read_space(text), CONFIG)
    for name, node in read_space(text).items():
        assert fill(node, name, first) is not None


def test_the_default_space_without_a_target_fits():
    check_space(read_space(WITHOUT_TARGET), TrainConfig(target="none", method="source_only"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write a space as in"),
        ("log(1, 2)", "write a space as in"),
        ("lr", "write a space as in"),
        ("lr=log(1e-4, 1e-2", "write a space as in"),
        ("lr=", "cannot read 'lr='"),
        ("lr=1 lr=2", "lr is twice in the space"),
        ("lr=log(0, 1)", "begin above 0, or use between"),
        ("lr=log(1)", r"as in log\(0.1, 1\)"),
        ("lr=between(2, 1)", "the smaller first"),
        ("lr=between(1, nan)", "two numbers"),
        ("lr=between(True, 2)", "two numbers"),
        ("lr=[]", "at least one alternative"),
        ("lr=[1, 1]", "each once"),
        ("lr=1 - 2", "write a space as in"),
        ("method=dann(0.1)", "write a space as in"),
        ("lr=" + "[" * 300 + "1" + "]" * 300, "write a space as in"),
        ("lr=" + "1" * 20_000, "too long"),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(text, message):
    with pytest.raises(ValueError, match=message):
        read_space(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate=1", "Did you mean lr"),
        ("lr=between(-1, 1)", "space has lr=-1: lr must be positive"),
        ("lr=dann", "lr must be a number"),
        ("method=dann(weight=between(-1, 1))", "weight of dann must be at least 0, got -1"),
        ("method=dann(wieght=between(0, 1))", "dann has no option 'wieght'"),
        ("method=[dann, dan, dnn]", "unknown method 'dnn'"),
        ("method=[dann, shot]", "adapts a trained network"),
        ("norm=ucb_norm(num_clusters=between(0, 3))", "num_clusters=0"),
        ("target=[usps, mnist]", "all trials share target"),
        ("validators=bnm", "all trials share validators"),
    ],
)
def test_what_does_not_fit_says_which_value(text, message):
    with pytest.raises(ValueError, match=message):
        check_space(read_space(text), CONFIG)
