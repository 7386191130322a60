"""The parameters that weight decay should leave alone: those of normalisers.

Libraries leave out vectors and biases. A normaliser may also have tables of means, logits or affine
maps, with a row for each cluster, which decay would move towards a mixture of its own.
"""

from torch import nn

from dacbn.norms.contract import Norm


def no_weight_decay(model: nn.Module) -> set[str]:
    """Return the names of the parameters of normalisers, and those that the model itself names.

    A conversion gives it to the model as its method `no_weight_decay`, which timm's optimisers ask.

    Args:
        model: any network; of its modules, those with a method `no_weight_decay` are asked too.

    Example:
        >>> from dacbn.norms import UCBNorm
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), UCBNorm(8, update="learned"))
        >>> sorted(no_weight_decay(model))
        ['1.bias', '1.learned.logits', '1.learned.mean', '1.learned.raw_var', '1.weight']
    """
    names: set[str] = set()
    for prefix, module in model.named_modules():
        own: set[str] = set()
        if isinstance(module, Norm):
            own = {name for name, _ in module.named_parameters()}
        elif hasattr(type(module), "no_weight_decay"):
            own = set(type(module).no_weight_decay(module))
        names |= {f"{prefix}.{name}" if prefix else name for name in own}
    return names


class Undecayed:
    """The method `no_weight_decay` of one network.

    Args:
        model: the network; a copy of it gets a copy of this.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self) -> set[str]:
        """Return the names of the parameters without decay."""
        return no_weight_decay(self.model)
