"""Specifications, well-formed, mutated and strange: read as written, or refused in a line."""

from fuzzing import LEAVES, STRANGE, WORDS, examples, refusal
from hypothesis import given
from hypothesis import strategies as st

from dacbn.methods import methods
from dacbn.models import create_network
from dacbn.models.convert import resolve_norm
from dacbn.norms import norms, weights
from dacbn.spec import Spec

NAMES = st.one_of(st.sampled_from([*norms, *weights, *methods]), st.sampled_from("abc"), WORDS)
OPTIONS = st.sampled_from(["num_clusters", "eps", "weight", "head", "assign", "x", "momentum"])
VALUES = st.one_of(LEAVES.map(repr), STRANGE.map(repr), st.sampled_from(["1e999", "(1, 1e999)"]))


@st.composite
def draw_text(draw):
    """Draw a sum of terms, and perhaps change a piece of it."""
    terms = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3)):
        options = draw(st.lists(st.tuples(OPTIONS, VALUES), max_size=3))
        inside = ", ".join(f"{option}={value}" for option, value in options)
        terms.append(f"{name}({inside})" if options or draw(st.booleans()) else name)
    text = " + ".join(terms)
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 3)))
        other = draw(
            st.one_of(st.text(max_size=3), st.sampled_from(["(", ")", "+", "**", ",", "="]))
        )
        text = text[:start] + other + text[stop:]
    if draw(st.integers(0, 20)) == 0:
        text = draw(st.sampled_from(["(", "-", "[", "a+", "a(x=", "1,"])) * draw(
            st.integers(100, 30_000)
        )
    return text


@examples(0.1)
@given(st.one_of(draw_text(), st.text()))
def test_what_is_read_can_be_read_again_as_written(text):
    with refusal(ValueError) as said:
        spec = Spec(text)
    if said:
        assert said[0].startswith("cannot read ")
    else:
        assert spec.terms and all(name.isidentifier() for name in spec.names)
        assert Spec(str(spec)).terms == spec.terms and str(Spec(str(spec))) == spec


@examples(0.03)
@given(draw_text())
def test_a_specification_names_a_norm_that_can_be_built_or_is_refused(text):
    with refusal(ValueError) as said:
        kind, options, maps = resolve_norm(text)
    if not said:
        assert norms[Spec(text).names[0]] is kind and len(maps) == len(Spec(text).terms) - 1
        if options.get("num_clusters", 1) <= 64:
            with refusal():
                kind(4, **options)


@examples(0.02)
@given(draw_text())
def test_a_specification_names_a_method_that_can_be_built_or_is_refused(text):
    network = create_network("digits_cnn", "batch_norm", 3)
    with refusal(ValueError, RuntimeError) as said:
        method = methods.build(text, network)
    assert said or (all(name in methods for name in Spec(text).names) and method.network is network)
