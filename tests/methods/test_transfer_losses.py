"""What holds for every method that compares the domains' features or logits."""

import pytest
import torch
from drawn_outputs import draw_network, draw_outputs, gradients
from planted_shift import train

from dacbn.batch import Output
from dacbn.methods import methods
from dacbn.methods.afn import feature_norms

# Which of source features and logits, target features and logits, get a gradient.
REACHED = {
    "afn": (True, False, True, False),
    "bsp": (True, False, True, False),
    "cdan(head=(8,))": (True, False, True, False),
    "cdan(head=(8,), entropy=True)": (True, False, True, False),
    "cmd": (True, False, True, False),
    "dan": (True, True, True, True),
    "deep_coral": (False, True, False, True),
    "jan": (True, True, True, True),
    "m3sda": (True, False, True, False),
    "mcd(head=(8,))": (True, False, True, False),
    "mdd(head=(8,))": (True, False, True, False),
}
# Their gradient is reversed, or takes the width of a kernel as a constant.
OTHER_GRADIENT = {"cdan", "dan", "jan", "mcd", "mdd"}
each_method = pytest.mark.parametrize("spec", list(REACHED))


def transfer(spec, source, target, labels, progress=0.5):
    torch.manual_seed(1)  # the same heads
    method = methods.build(spec, draw_network())
    return method, method.transfer(source, target, labels, progress)


@each_method
def test_the_gradient_reaches_what_the_paper_says_and_nothing_else(spec):
    source, target, labels = draw_outputs()
    method, step = transfer(spec, source, target, labels)
    found = gradients(sum(step.losses.values()), [*source, *target])
    assert tuple(g is not None and bool(g.any()) for g in found) == REACHED[spec]
    assert all(p.grad is None for p in method.network.parameters())
    assert not any(metric.requires_grad for metric in step.metrics.values())


@each_method
def test_the_order_of_the_images_does_not_matter(spec):
    source, target, labels = draw_outputs()
    first, second = torch.randperm(5), torch.randperm(7)
    shuffled = [
        Output(*(x.detach()[order].requires_grad_() for x in output))
        for output, order in ((source, first), (target, second))
    ]
    _, one = transfer(spec, source, target, labels)
    _, two = transfer(spec, *shuffled, labels[first])
    for name, loss in one.losses.items():
        torch.testing.assert_close(two.losses[name], loss)
    ours = gradients(sum(one.losses.values()), target)
    theirs = gradients(sum(two.losses.values()), shuffled[1])
    for mine, yours in zip(ours, theirs, strict=True):
        if mine is not None:
            torch.testing.assert_close(yours, mine[second], rtol=1e-4, atol=1e-6)


def _hard_cases():
    source, target, labels = draw_outputs()
    yield "source of one", (*draw_outputs(1, 6)[:2], labels[:1])
    yield "target of one", (*draw_outputs(5, 1)[:2], labels)
    yield "one of each", (*draw_outputs(1, 1)[:2], labels[:1])
    yield "many more targets", (*draw_outputs(2, 40)[:2], labels[:2])
    yield "one class", (source, target, torch.zeros_like(labels))
    for name, factor in (("nothing", 0.0), ("minute", 1e-9), ("large", 1e3)):
        outputs = [Output(*(factor * x for x in output)) for output in (source, target)]
        yield name, (*outputs, labels)
    equal = [Output(*(x[:1].expand_as(x) for x in output)) for output in (source, target)]
    yield "all equal", (*equal, labels)
    sure = [Output(o.features, 1e4 * torch.eye(3)[o.logits.argmax(1)]) for o in (source, target)]
    yield "certain", (*sure, labels)


@each_method
@pytest.mark.parametrize("case", [name for name, _ in _hard_cases()])
def test_losses_and_gradients_stay_finite(spec, case):
    outputs = dict(_hard_cases())[case]
    source, target = (
        Output(*(x.detach().clone().requires_grad_() for x in output)) for output in outputs[:2]
    )
    method, step = transfer(spec, source, target, outputs[2])
    sum(step.losses.values()).backward()
    for value in [*step.losses.values(), *step.metrics.values()]:
        assert value.ndim == 0 and value.isfinite()
    for tensor in [*source, *target, *method.parameters()]:
        assert tensor.grad is None or tensor.grad.isfinite().all()


@pytest.mark.parametrize("spec", [s for s in REACHED if "head" not in s])
def test_autocast_takes_nothing_from_the_precision(spec):
    source, target, labels = draw_outputs()
    with torch.autocast("cpu", torch.bfloat16):
        _, ours = transfer(spec, source, target, labels)
    _, plain = transfer(spec, source, target, labels)
    for name, loss in plain.losses.items():
        assert ours.losses[name].dtype == torch.float32
        torch.testing.assert_close(ours.losses[name], loss, rtol=1e-6, atol=1e-7)


@each_method
def test_half_precision_outputs_are_taken(spec):
    source, target, labels = draw_outputs()
    half = [Output(*(x.bfloat16() for x in output)) for output in (source, target)]
    with torch.autocast("cpu", torch.bfloat16):
        _, ours = transfer(spec, *half, labels)
    _, plain = transfer(spec, source, target, labels)
    for name, loss in plain.losses.items():
        torch.testing.assert_close(ours.losses[name].float(), loss, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("spec", [s for s in REACHED if s != "afn"])
def test_double_precision_is_never_lowered(spec):
    """Finite differences of a step of 1e-6 would be lost in float32."""
    source, target, labels = draw_outputs()
    wide = [part.double().detach().requires_grad_() for part in (*source, *target)]
    torch.manual_seed(1)
    method = methods.build(spec, draw_network()).double()

    def loss(features, logits, others, other_logits):
        source, target = Output(features, logits), Output(others, other_logits)
        step = method.transfer(source, target, labels, 0.5)
        return sum(value for value in step.losses.values())

    value = loss(*wide)
    assert value.dtype == torch.float64
    slightly = [part.detach() * (1 + 1e-12) for part in wide]
    assert loss(*slightly) != value
    if spec.partition("(")[0] not in OTHER_GRADIENT:
        assert torch.autograd.gradcheck(loss, wide, fast_mode=True)


def test_feature_norms_in_double_precision_are_exact_to_it():
    features = torch.tensor([[3.0, 4.0 + 1e-12]], dtype=torch.float64)
    assert feature_norms(features).item() == pytest.approx(5 + 8e-13, abs=1e-14)


def test_methods_add_up():
    source, target, labels = draw_outputs()
    sum_of_all = " + ".join(spec for spec in REACHED if "entropy" not in spec)
    method = methods.build(sum_of_all, draw_network())
    step = method.transfer(source, target, labels, 0.5)
    count = sum(len(transfer(spec, source, target, labels)[1].losses) for spec in REACHED)
    assert len(step.losses) == count - 1  # no loss takes another's name
    sum(step.losses.values()).backward()


@pytest.fixture(scope="module")
def source_only_accuracy():
    return train("source_only")


@pytest.mark.parametrize(
    ("spec", "gain"),
    [
        ("afn", 0.03),
        ("cdan(head=(32,))", 0.07),
        ("cdan(head=(32,), entropy=True)", 0.07),
        ("cmd", 0.15),
        ("dan", 0.15),
        ("dann(head=(32,)) + bsp", 0.07),
        ("deep_coral", 0.15),
        ("jan", 0.15),
        ("m3sda", 0.15),
        ("mcd(head=(32,))", 0.15),
        ("mdd(head=(32,))", 0.07),
    ],
)
def test_a_planted_shift_is_undone(spec, gain, source_only_accuracy):
    assert train(spec) > source_only_accuracy + gain
