"""Specifications: what can be read, and how it is written."""

import pytest

from dacbn.spec import Spec


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
    assert Spec(text).terms == (wanted,)


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
        Spec(text)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a", ["a"]),
        ("a+b", ["a", "b"]),
        (" a(x=1) + b + c(y='+') ", ["a(x=1)", "b", "c(y='+')"]),
    ],
)
def test_a_sum_has_terms_in_order(text, terms):
    spec = Spec(text)
    assert list(map(str, spec.terms)) == terms
    assert list(spec.names) == [term.partition("(")[0] for term in terms]


@pytest.mark.parametrize("text", ["a +", "", "a b", "a + 1", "a - b", "a + (b"])
def test_a_sum_that_cannot_be_read_says_how_to_write_one(text):
    with pytest.raises(ValueError, match="write a name"):
        Spec(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("dann", "dann"),
        ("dann()", "dann"),
        ('ucb_norm( assign="sample",num_clusters=2 )', "ucb_norm(assign='sample', num_clusters=2)"),
        ("dann(head=(32,))+mcc", "dann(head=(32,)) + mcc"),
        ("a(x=[1, 'b'], y={'k': None}, z=-1e-3)", "a(x=[1, 'b'], y={'k': None}, z=-0.001)"),
    ],
)
def test_what_was_typed_comes_back_in_one_form(text, written):
    spec = Spec(text)
    assert str(spec) == spec == f"{spec}" == written and type(str(spec)) is str
    again = Spec(written)
    assert again == spec and hash(again) == hash(spec) and again.terms == spec.terms


@pytest.mark.parametrize("text", ["a(x=1e999)", "a(x=-1e999)", "a(x=(1, 1e999, 'inf'), y='inf')"])
def test_an_infinite_number_can_be_read_again(text):
    spec = Spec(text)
    assert Spec(str(spec)).terms == spec.terms


def test_what_is_inside_lists_and_dictionaries_can_be_read_again():
    text = "a(x=[1, 1e309], y={'k': -1e309}, z={1e309}, t=((), (1,)), n=None)"
    assert str(Spec(text)) == text and Spec(str(Spec(text))).terms == Spec(text).terms


@pytest.mark.parametrize(
    "text",
    [
        " + ".join(["dann"] * 20_000),
        "dann(head=" + "(" * 250 + "1" + ",)" * 250 + ")",
        "dann(weight=" + "-" * 9000 + "1)",
        "dann(weight=0x" + "f" * 6000 + ")",
    ],
    ids=["20,000 terms", "parentheses", "signs", "digits"],
)
def test_a_text_too_long_or_deep_is_refused_in_one_short_line(text):
    with pytest.raises(ValueError, match=r"^cannot read '[^\n]{50,90}…: ") as caught:
        Spec(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [None, 5, True, ["dann"], b"dann", dict])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(ValueError, match=r"cannot read .*: write a name"):
        Spec(value)
