"""A trained network as huggingface_hub's mixin loads it, from a folder of the format "hub"."""

from collections.abc import Sequence
from typing import Any, Self

from huggingface_hub import PyTorchModelHubMixin

from dacbn.datasets import POSITIONS
from dacbn.models import Network
from dacbn.training import TrainConfig, build_network


class HubNetwork(Network, PyTorchModelHubMixin, library_name="dacbn"):
    """A `Network` with the mixin's `from_pretrained`, `save_pretrained` and `push_to_hub`.

    `HubNetwork.from_pretrained(PATH)` also takes the name of a repository on the hub. What
    `save_pretrained` writes is read by `DomainAdapter.from_pretrained` too.

    Args:
        classes: names of the classes, in the order of the logits.
        image_size: pixels per side.
        training: the settings, as in config.json.
        unknown_threshold, labels, trained_on: as there, for `DomainAdapter.from_pretrained`.
    """

    def __init__(
        self,
        classes: list[str],
        image_size: int,
        training: dict[str, Any],
        unknown_threshold: float | None = None,
        labels: str = POSITIONS,
        trained_on: Sequence[str] = (),
    ) -> None:
        config = TrainConfig.from_json({**training, "download": False})
        built = build_network(config, len(classes), False, None, image_size)
        vars(self).update(vars(built))
        self.eval()  # older mixins load into a network as it was built

    @classmethod
    def _from_pretrained(cls, **options: Any) -> Self:
        # the mixin's default leaves weights that the file lacks as random as they were built
        return super()._from_pretrained(**{"strict": True, **options})  # type: ignore[no-any-return]
