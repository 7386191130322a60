"""Names, and the errors that a wrong one gets."""

import pytest

from dacbn.methods import methods, source_free_methods, test_time_methods
from dacbn.norms import BatchNorm, norms, weights
from dacbn.registry import Registry, UnknownNameError, check_options
from dacbn.spec import Term


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


class Fruit:
    """What the registry of these tests builds."""

    def __init__(self, place, size: int = 1, colour="green"):
        self.place, self.size, self.colour = place, size, colour


def fruits():
    registry = Registry("fruit")
    for name in ("apple", "pear"):
        registry.register(name)(Fruit)
    return registry


def test_a_specification_is_built_with_its_options_after_what_is_fixed():
    apple = fruits().build("apple(colour='red')", "tree")
    assert (apple.place, apple.size, apple.colour) == ("tree", 1, "red")


def test_a_wrong_option_is_refused_by_the_registered_name():
    with pytest.raises(ValueError, match=r"^apple has no option 'place', only size, colour$"):
        fruits().build("apple(place='shop')", "tree")
    with pytest.raises(ValueError, match=r"^size of apple must be a number, got 'big'$"):
        fruits().build("apple(size='big')", "tree")
    with pytest.raises(ValueError, match=r"^grow has no option 'colour', nor any other$"):
        check_options("grow", lambda: None, {"colour": "red"})


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        (norms, "ucb_norm"),
        (weights, "weight_standardization"),
        (methods, "dann"),
        (source_free_methods, "shot"),
        (test_time_methods, "tent"),
    ],
)
def test_norms_methods_and_weight_maps_refuse_alike(registry, name):
    with pytest.raises(ValueError, match=f"^{name} has no option 'colour', only [a-z_, ]+$"):
        registry.check(Term(name, {"colour": 1}))


def test_a_sum_is_made_of_what_its_terms_build_where_sums_have_a_meaning():
    registry = fruits()
    with pytest.raises(ValueError, match="cannot add fruits: choose one of apple, pear"):
        registry.build("apple + pear", "tree")
    registry.register_sum(lambda place, parts: (place, parts))
    place, parts = registry.build("apple(size=2) + pear", "tree")
    assert place == "tree" and {name: each.size for name, each in parts.items()} == {
        "apple": 2,
        "pear": 1,
    }
    with pytest.raises(ValueError, match="apple appears twice in 'apple \\+ apple'"):
        registry.build("apple + apple", "tree")


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
