"""Methods by name, and sums of them such as "cdan + mcc"."""

from collections.abc import Callable
from inspect import signature

from torch import Tensor, nn

from dacbn.batch import Output
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network
from dacbn.registry import parse_spec, split_sum


class Combined(Method):
    """Several methods on the same outputs, with the sum of their losses.

    Args:
        network: the network to train.
        parts: methods by name, built on that network.

    Raises:
        ValueError: a method defines its own forward pass.
    """

    def __init__(self, network: Network, parts: dict[str, Method]) -> None:
        super().__init__(network)
        for name, part in parts.items():
            if type(part).forward is not Method.forward:
                raise ValueError(
                    f"{name} defines its own forward pass and cannot be combined with other methods"
                )
            del part.network  # registered once, in this module
        self.parts = nn.ModuleDict(parts)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the losses that each method adds."""
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            step = part.transfer(source, target, source_labels, progress)  # type: ignore[operator]
            if twice := losses.keys() & step.losses.keys():
                raise ValueError(f"{name} has a loss of the same name as another: {min(twice)}")
            losses |= step.losses
            metrics |= step.metrics
        return Step(losses, metrics)


def create_method(spec: str, network: Network) -> Method:
    """Build a method from its name, with options if wished, or a sum of methods.

    Raises:
        UnknownNameError: there is no method of that name.
        ValueError: it has no such option, or the methods cannot be added.
    """
    parts = {}
    for term in split_sum(spec):
        name, options = parse_spec(term)
        if name in parts:
            raise ValueError(f"{name} stands twice in {spec!r}")
        check_options(name, methods[name], options)
        parts[name] = methods[name](network, **options)
    return Combined(network, parts) if len(parts) > 1 else next(iter(parts.values()))


def check_options(name: str, method: Callable[..., object], options: dict[str, object]) -> None:
    """Refuse what a method cannot take.

    Args:
        name: of the method, for the message.
        method: takes options, each with a default, after what a person does not give.
        options: what a person has given.

    Raises:
        ValueError: it has no such option, or wants a number.
    """
    known = {
        key: entry.annotation
        for key, entry in signature(method).parameters.items()
        if entry.default is not entry.empty
    }
    for option, value in options.items():
        if option not in known:
            only = f"only {', '.join(known)}" if known else "nor any other"
            raise ValueError(f"{name} has no option {option!r}, {only}")
        if known[option] in (int, float) and not isinstance(value, (int, float)):
            raise ValueError(f"{option} of {name} must be a number, got {value!r}")
