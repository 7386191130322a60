"""Options of every norm and method, strange or not: refused in a line, or meant and working."""

from inspect import signature

import torch
from fuzzing import LEAVES, NUMBERS, STRANGE, examples, is_number, is_whole, refusal
from hypothesis import given
from hypothesis import strategies as st
from norm_cases import ids_of, run
from planted_shift import Plain, draw_domain

from dacbn.batch import Batch, TargetBatch
from dacbn.methods import methods, source_free_methods, test_time_methods
from dacbn.models import Network, create_network
from dacbn.norms import norms, weights
from dacbn.spec import Term

# What each option may be, written out once more.
COUNT, CHOICE = (lambda v: is_whole(v) and 1 <= v <= 65536), (lambda *known: lambda v: v in known)
POSITIVE, FRACTION = (lambda v: is_number(v) and v > 0), (lambda v: is_number(v) and 0 <= v <= 1)
NOT_NEGATIVE, TRUTH = (lambda v: is_number(v) and v >= 0), (lambda v: isinstance(v, bool))
RULES = {
    **dict.fromkeys(["num_clusters", "num_groups", "group_size", "em_steps"], COUNT),
    **dict.fromkeys(["count", "moments", "projections", "rounds"], COUNT),
    **dict.fromkeys(["eps", "alpha", "temperature", "lr", "lr_share"], POSITIVE),
    **dict.fromkeys(["momentum", "ratio", "shrinkage", "gain", "label_smoothing"], FRACTION),
    **dict.fromkeys(["weight", "domain_weight", "source_weight", "target_weight"], NOT_NEGATIVE),
    **dict.fromkeys(["step", "radius", "reset_below"], NOT_NEGATIVE),
    **dict.fromkeys(["affine", "estimate", "prior_scale", "measured", "calibrated"], TRUTH),
    **dict.fromkeys(["entropy", "batch_norm"], TRUTH),
    "head": lambda v: isinstance(v, (tuple, list)) and all(map(COUNT, v)),
    "assign": lambda v: isinstance(v, str) and v in ("channel", "position", "sample"),
    "update": lambda v: isinstance(v, str) and v in ("em", "learned", "hybrid"),
    "gate": lambda v: isinstance(v, str) and v in ("own", "shared"),
    "transition": lambda v: isinstance(v, str) and v in ("moments", "learned"),
    "function": lambda v: isinstance(v, str) and v in ("tanh", "erf"),
    "top": lambda v: v is None or COUNT(v),
    "p": lambda v: (is_number(v) and v >= 1) or (isinstance(v, (str, float)) and v in ("inf", INF)),
    "boundary": lambda v: is_number(v) and 0 < v < 1,
    "source_share": lambda v: is_number(v) and 0 <= v < 1,
    "mixed_alpha": lambda v: v is None or FRACTION(v),
    "diversity": POSITIVE,
    "median": TRUTH,
    **dict.fromkeys(["rate", "spread", "back"], FRACTION),
    ("alpha_batch_norm", "alpha"): FRACTION,
    ("instance_aware_batch_norm", "threshold"): NOT_NEGATIVE,
    ("information_maximisation", "entropy"): NOT_NEGATIVE,
    ("fixmatch", "threshold"): FRACTION,
    ("adamatch", "threshold"): NOT_NEGATIVE,
    ("mdd", "margin"): POSITIVE,
    ("sar", "margin"): NOT_NEGATIVE,
    ("eata", "margin"): NOT_NEGATIVE,
    **dict.fromkeys(["similar", "anchor"], NOT_NEGATIVE),
    **dict.fromkeys(["neighbours", "memory", "every", "views"], COUNT),
    **dict.fromkeys(["pull", "follow", "sure", "restore"], FRACTION),
}
INF = float("inf")
REGISTRIES = (norms, weights, methods, source_free_methods, test_time_methods)
OPTIONS = [
    (registry, name, option.name)
    for registry in REGISTRIES
    for name in registry
    for option in signature(registry[name]).parameters.values()
    if option.default is not option.empty
]
# Sizes and factors with which a step is tried.
MODEST = st.one_of(
    st.integers(0, 9),
    st.floats(0, 1),
    st.floats(1e-6, 100),
    st.booleans(),
    st.sampled_from(
        [
            *("em", "learned", "hybrid", "channel", "position", "sample", "moments", "inf"),
            *("tanh", "erf", "own", "shared"),
        ]
    ),
    st.lists(st.integers(1, 9), max_size=2).map(tuple),
)


def rule(name, option):
    return RULES.get((name, option)) or RULES[option]


@examples(0.25)
@given(st.sampled_from(OPTIONS), st.one_of(NUMBERS, LEAVES, STRANGE))
def test_an_option_is_taken_if_and_only_if_it_can_be_meant(where, value):
    registry, name, option = where
    with refusal(ValueError) as said:
        registry.check(Term(name, {option: value}))
    default = signature(registry[name]).parameters[option].default
    assert (not said) == (value is default or bool(rule(name, option)(value))), said
    assert not said or said[0].startswith(f"{option} of {name} must be ")


def draw_options(registry):
    return st.sampled_from(sorted(registry)).flatmap(
        lambda name: st.tuples(
            st.just(name),
            st.fixed_dictionaries(
                {},
                optional={
                    option: MODEST.filter(rule(name, option))
                    for each, known, option in OPTIONS
                    if each is registry and known == name
                },
            ),
        ).filter(suits)
    )


def suits(entry):
    """Whether options suit one another: one gate for all layers is of samples and by EM."""
    _, options = entry
    by_sample = options.get("assign") == "sample" and options.get("update", "em") == "em"
    return options.get("gate") != "shared" or by_sample


@examples(0.08)
@given(draw_options(norms), st.sampled_from([(6, 4), (3, 4, 2, 2)]))
def test_a_norm_with_any_options_trains_and_evaluates_finitely(entry, shape):
    name, options = entry
    layer = norms[name](4, **options)
    for option, value in options.items():
        if option in ("num_clusters", "eps", "momentum", "gain", "update", "assign", "prior_scale"):
            assert getattr(layer, option, value) == value
    torch.manual_seed(0)
    for _ in range(2):
        x = torch.randn(shape, requires_grad=True)
        with refusal() as said:
            y = run(layer, x, ids_of(x) % getattr(layer, "num_clusters", 2))
        y.square().sum().backward()
        assert y.isfinite().all() and x.grad.isfinite().all() and not said
    assert run(layer.eval(), torch.randn(shape), torch.zeros(shape[0]).long()).isfinite().all()
    assert all(value.isfinite().all() for value in layer.state_dict().values())


class Target(list):
    """All target images."""

    cluster_id = 1

    def batches(self):
        """Yield them."""
        yield torch.stack(self)


def take_step(method):
    torch.manual_seed(0)
    source, labels = draw_domain(6, shifted=False)
    target, _ = draw_domain(6, shifted=True)
    few = {"labelled_images": target[:3], "labelled_labels": labels[:3]}
    return method(Batch(source, labels, target, source, target, **few), 0.5)


@examples(0.06)
@given(draw_options(methods))
def test_a_method_with_any_options_takes_a_finite_step(entry):
    name, options = entry
    torch.manual_seed(0)
    temperature = methods[name].classifier_temperature
    method = methods[name](Network(Plain(), 3, classifier_temperature=temperature), **options)
    with refusal():
        step = take_step(method)
    sum(step.losses.values()).backward()
    assert all(value.isfinite() for value in [*step.losses.values(), *step.metrics.values()])
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


@examples(0.01)
@given(draw_options(source_free_methods))
def test_a_method_without_source_takes_a_finite_step(entry):
    name, options = entry
    torch.manual_seed(0)
    images, _ = draw_domain(6, shifted=True)
    method = source_free_methods[name](Network(Plain(), 3), Target(images), **options)
    step = method(TargetBatch(images, torch.arange(6)), 0.5)
    sum(step.losses.values()).backward()
    assert all(value.isfinite() for value in step.losses.values())


@examples(0.01)
@given(draw_options(test_time_methods))
def test_a_test_time_method_predicts_finitely(entry):
    name, options = entry
    torch.manual_seed(0)
    method = test_time_methods[name](create_network("digits_cnn", "batch_norm", 3), **options)
    for _ in range(2):
        output = method.predict(torch.rand(4, 3, 16, 16), torch.ones(4, dtype=torch.int64))
        assert output.logits.isfinite().all()
