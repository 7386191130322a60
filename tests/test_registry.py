"""Names, and the errors that a wrong one gets."""

import pytest

from dacbn.norms import BatchNorm
from dacbn.registry import Registry, UnknownNameError, parse_spec, split_sum


def filled(*names):
    registry = Registry("fruit")
    for name in names:
        registry.register(name)(f"<{name}>")
    return registry


def test_a_name_finds_what_was_registered_and_nothing_else():
    registry = filled("pear", "apple")
    assert registry["pear"] == "<pear>" and "pear" in registry and "plum" not in registry


def test_names_come_in_alphabetical_order():
    assert list(filled("pear", "apple", "fig")) == ["apple", "fig", "pear"]


def test_the_decorator_returns_what_it_decorates():
    def grow():
        return "tree"

    assert Registry("fruit").register("grow")(grow) is grow


def test_an_unknown_name_names_the_nearest_and_the_known():
    with pytest.raises(UnknownNameError) as caught:
        filled("pear", "apple")["aple"]
    text = str(caught.value)
    assert text == "unknown fruit 'aple'. Did you mean 'apple'? Known: apple, pear."


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(UnknownNameError, match=r"^unknown fruit 'xyz'\. Known: apple, pear\.$"):
        filled("pear", "apple")["xyz"]


def test_registering_a_name_twice_raises_unless_it_is_the_same_thing():
    registry, entry = Registry("fruit"), object()
    registry.register("pear")(entry)
    with pytest.raises(ValueError, match="fruit 'pear' is registered twice"):
        registry.register("pear")(object())
    registry.register("pear")(entry)
    assert registry["pear"] is entry


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ucb_norm", ("ucb_norm", {})),
        (" ucb_norm ", ("ucb_norm", {})),
        ("ucb_norm()", ("ucb_norm", {})),
        (
            "ucb_norm(num_clusters=5, update='em', momentum=-0.1, prior_scale=True)",
            (
                "ucb_norm",
                {"num_clusters": 5, "update": "em", "momentum": -0.1, "prior_scale": True},
            ),
        ),
    ],
)
def test_a_specification_is_a_name_and_literal_options(text, wanted):
    assert parse_spec(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ucb-norm",
        "ucb_norm(",
        "ucb_norm(5)",
        "ucb_norm(k=__import__('os'))",
        "ucb_norm(k=print)",
        "a.b(k=1)",
        "ucb_norm(**{'k': 1})",
        "ucb_norm(k={[]: 1})",
        "ucb_norm(k=1, k=2)",
        "ucb_norm; scb_norm",
    ],
)
def test_what_cannot_be_read_raises_with_an_example(text):
    with pytest.raises(ValueError, match=r"cannot read .*ucb_norm\(num_clusters=5\)"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a", ["a"]),
        ("a+b", ["a", "b"]),
        (" a(x=1) + b + c(y='+') ", ["a(x=1)", "b", "c(y='+')"]),
    ],
)
def test_a_sum_splits_into_its_terms(text, terms):
    assert split_sum(text) == terms


@pytest.mark.parametrize("text", ["a +", "", "a b"])
def test_a_sum_that_cannot_be_read_says_how_to_write_one(text):
    with pytest.raises(ValueError, match="write a name"):
        split_sum(text)


def test_a_description_has_what_the_entry_has():
    class Tree:
        """Grow slowly.

        And more.
        """

        needs = ("water", "light")

        def __init__(self, place, height=3, kind="oak"):
            pass

    registry = Registry("tree")
    registry.register("tree")(Tree)
    assert registry.describe("tree") == {
        "does": "Grow slowly.",
        "options": "height=3, kind='oak'",
        "needs": "water, light",
    }


def test_a_description_has_the_paper_of_the_module():
    registry = Registry("norm")
    registry.register("batch_norm")(BatchNorm)
    paper = registry.describe("batch_norm")["paper"]
    assert paper.startswith("Ioffe and Szegedy") and paper.endswith("1502.03167.")
