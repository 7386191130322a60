"""Names, and the errors that a wrong one gets."""

from inspect import signature
from typing import Annotated, get_args, get_origin

import pytest

from dacbn.label_shift import estimators
from dacbn.limits import Count, Limit
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
    with pytest.raises(ValueError, match=r"^size of apple must be a whole number, got 'big'$"):
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


REGISTRIES = [norms, weights, methods, source_free_methods, test_time_methods, estimators]
ENTRIES = [(registry, name) for registry in REGISTRIES for name in registry]


@pytest.mark.parametrize(("registry", "name"), ENTRIES, ids=[name for _, name in ENTRIES])
def test_every_option_has_a_type_that_is_checked_and_every_number_a_range(registry, name):
    class Strange:
        """Fits no option."""

    for option in signature(registry[name]).parameters.values():
        if option.default is option.empty:
            continue
        with pytest.raises(ValueError, match=f"^{option.name} of {name} must be .*, got <"):
            registry.check(Term(name, {option.name: Strange()}))
        assert not lacks_range(option.annotation), option


def lacks_range(kind):
    if get_origin(kind) is Annotated:
        return not any(isinstance(mark, Limit) for mark in get_args(kind))
    return kind in (int, float) or any(map(lacks_range, get_args(kind)))


# What cannot be meant, and what the message says.
MEANINGLESS = [
    (norms, "ucb_norm(eps='x')", "eps of ucb_norm must be a number, got 'x'"),
    (norms, "batch_norm(eps=None)", "eps of batch_norm must be a number, got None"),
    (norms, "batch_norm(eps=-1)", "eps of batch_norm must be positive and finite, got -1"),
    (norms, "batch_norm(affine=0)", "affine of batch_norm must be True or False, got 0"),
    (norms, "ucb_norm(num_clusters=2.0)", "num_clusters of ucb_norm must be a whole number, got 2"),
    (norms, "ucb_norm(num_clusters=True)", "num_clusters of ucb_norm must be a whole number, got"),
    (norms, "ucb_norm(num_clusters=10**0)", "cannot read"),
    (norms, "ucb_norm(num_clusters=1000000)", "num_clusters of ucb_norm must be at most 65536"),
    (norms, "uan(momentum=1e400)", "momentum of uan must be a finite number, got inf"),
    (norms, "scb_norm_base(num_clusters=0)", "num_clusters of scb_norm_base must be at least 1"),
    (weights, "weight_standardization(eps=-1)", "eps of weight_standardization must be positive"),
    (methods, "dann(head=5)", r"head of dann must be a tuple such as \(64, 64\), got 5"),
    (methods, "dann(head=(0,))", r"head of dann must be a tuple, each at least 1, got \(0,\)"),
    (methods, "dann(weight=-1)", "weight of dann must be at least 0, got -1"),
    (methods, "dann(batch_norm='no')", "batch_norm of dann must be True or False, got 'no'"),
    (methods, "cdan(entropy='x')", "entropy of cdan must be True or False, got 'x'"),
    (methods, "bsp(count=0.5)", "count of bsp must be a whole number, got 0.5"),
    (methods, "cmd(moments=0.5)", "moments of cmd must be a whole number, got 0.5"),
    (methods, "fixmatch(threshold=1e400)", "threshold of fixmatch must be a finite number"),
    (methods, "mcc(temperature=0)", "temperature of mcc must be positive and finite, got 0"),
    (source_free_methods, "shot(weight=-1)", "weight of shot must be at least 0, got -1"),
    (test_time_methods, "tent(lr=1e400)", "lr of tent must be a finite number, got inf"),
    (test_time_methods, "sar(margin=-1)", "margin of sar must be at least 0, got -1"),
]


@pytest.mark.parametrize(("registry", "spec", "message"), MEANINGLESS)
def test_a_value_that_cannot_be_meant_is_refused(registry, spec, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        registry.build(spec, None)


def test_a_constructor_refuses_alike_by_position_and_by_name():
    class Fruit:
        """A fruit."""

        def __init__(self, place, size: Count = 1):
            self.place, self.size = place, size

    class Berry(Fruit):
        """Inherits the constructor."""

    for name, kind in {"apple": Fruit, "berry": Berry}.items():
        Registry("fruit").register(name)(kind)
        for args, options in [(("tree", 0), {}), ((), {"place": "tree", "size": 0})]:
            with pytest.raises(ValueError, match=f"^size of {name} must be at least 1, got 0$"):
                kind(*args, **options)
        assert kind("tree", 2).size == 2 and list(signature(kind).parameters) == ["place", "size"]
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            kind("tree", colour=1)
    with pytest.raises(ValueError, match=r"^momentum of batch_norm must be in"):
        BatchNorm(4, momentum=2)


def test_a_default_is_taken_whatever_its_annotation():
    def grow(size: Count = None):
        return size

    registry = Registry("fruit")
    registry.register("apple")(grow)
    assert registry.build("apple(size=None)") is None and registry.build("apple(size=2)") == 2


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


def test_an_interrupted_import_goes_on_when_the_registry_is_asked_again(monkeypatch):
    class Room:
        __all__ = ("first",)
        first = None

    def interrupt(name):
        raise KeyboardInterrupt

    registry = Registry("colour", "room")
    monkeypatch.setattr("dacbn.registry.import_module", interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(registry)
    asked = []
    monkeypatch.setattr("dacbn.registry.import_module", lambda name: asked.append(name) or Room)
    assert list(registry) == [] and list(registry) == [] and asked == ["room"]
