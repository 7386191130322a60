"""The training loops of other toolkits, on the network and data of this benchmark.

Each is used as in its documentation, with DANN, AdamW and images as floats in memory.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import chain, islice, repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.models import Network, create_network, mlp

Loop = Callable[[], object]
Data = tuple[Tensor, Tensor, Tensor]


def rival_loops(
    data: Data, num_classes: int, steps: int, batch_size: int, device: str
) -> dict[str, Loop]:
    """Build a loop of `steps` steps for each toolkit that is installed.

    Args:
        data: source images, source labels and target images, N of each; images uint8 (N, 3, S, S).
        num_classes: classes.
        steps: steps per call.
        batch_size: images of each domain per step.
        device: cpu or cuda.
    """
    makers = {"pytorch_adapt": _pytorch_adapt, "skada": _skada}
    data = data[0] / 255, data[1], data[2] / 255
    loops = {}
    for name, make in makers.items():
        try:
            if find_spec(name) is not None:
                network = create_network("digits_cnn", None, num_classes)
                loops[name] = make(network, data, steps, batch_size, device)
        except ImportError as error:
            warnings.warn(f"{name} cannot be imported, so skipped: {error}", stacklevel=2)
    return loops


def absent_rivals() -> list[str]:
    """List the supported toolkits that are not installed."""
    return [name for name in ("pytorch_adapt", "skada") if find_spec(name) is None]


class _Domain(nn.Module):
    """A domain classifier, from features (B, D) to one number each (B,)."""

    def __init__(self, num_features: int, probability: bool = False) -> None:
        super().__init__()
        self.head = mlp(num_features, (100,), 1)
        self.probability = probability

    def forward(self, features: Tensor) -> Tensor:
        if self.probability:
            features = reverse_gradient(features, 1.0)
        logits: Tensor = self.head(features).squeeze(1)
        return logits.sigmoid() if self.probability else logits


class _Features(nn.Module):
    """A network up to its features."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        standard = (images - self.network.pixel_mean) / self.network.pixel_std
        return self.network.backbone(standard)  # type: ignore[no-any-return]


def _pytorch_adapt(network: Network, data: Data, steps: int, batch_size: int, device: str) -> Loop:
    from pytorch_adapt.datasets import (
        CombinedSourceAndTargetDataset,
        SourceDataset,
        TargetDataset,
    )
    from pytorch_adapt.hooks import DANNHook
    from pytorch_adapt.utils.common_functions import batch_to_device

    parts: dict[str, nn.Module] = {"G": _Features(network), "C": network.classifier}
    parts["D"] = _Domain(network.num_features)
    models = {name: part.to(device).train() for name, part in parts.items()}
    optimizers = [torch.optim.AdamW(model.parameters()) for model in models.values()]
    hook = DANNHook(optimizers)
    source, target = TensorDataset(data[0], data[1]), _Images(data[2])
    both = CombinedSourceAndTargetDataset(SourceDataset(source), TargetDataset(target))

    def run() -> None:
        loader = DataLoader(both, batch_size, shuffle=True, drop_last=True)
        for batch in islice(_endless(loader), steps):
            hook({**models, **batch_to_device(batch, device)})

    return run


def _skada(network: Network, data: Data, steps: int, batch_size: int, device: str) -> Loop:
    from skada.deep import DANN

    order = torch.arange(steps * batch_size) % len(data[0])  # one epoch is all the steps
    model = nn.Sequential(OrderedDict(features=_Features(network), classifier=network.classifier))
    net = DANN(
        model,
        layer_name="features",
        domain_classifier=_Domain(network.num_features, probability=True),
        optimizer=torch.optim.AdamW,
        batch_size=batch_size,
        max_epochs=1,
        train_split=None,
        device=device,
        verbose=0,
    )
    images = torch.cat([data[0][order], data[2][order]]).numpy()
    labels = torch.cat([data[1][order], torch.full_like(order, -1)]).numpy()
    domains = torch.cat([torch.ones_like(order), -torch.ones_like(order)]).numpy()
    return lambda: net.fit(images, labels, sample_domain=domains)


class _Images(torch.utils.data.Dataset[Tensor]):
    """Images without labels."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def _endless(loader: Any) -> Iterator[Any]:
    return chain.from_iterable(repeat(loader))
