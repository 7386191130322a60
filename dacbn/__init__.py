"""Domain adaptation with cluster-based normalisation in any timm backbone."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import dacbn.checkout  # noqa: F401  # first: it says what to do if the links are missing

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter as DomainAdapter
    from dacbn.models import Network as Network
    from dacbn.models import convert_norms as convert_norms
    from dacbn.norms import BatchNorm as BatchNorm
    from dacbn.norms import SCBNorm as SCBNorm
    from dacbn.norms import SCBNormBase as SCBNormBase
    from dacbn.norms import UCBNorm as UCBNorm
    from dacbn.training import TrainConfig as TrainConfig

    __version__: str

# Imported when they are used: torch takes seconds, and the command line must be running by then.
_HOMES = {
    "DomainAdapter": "adapter",
    "Network": "models",
    "convert_norms": "models",
    "BatchNorm": "norms",
    "SCBNorm": "norms",
    "SCBNormBase": "norms",
    "UCBNorm": "norms",
    "TrainConfig": "training",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("dacbn")
    if name in _HOMES:
        return getattr(import_module(f"dacbn.{_HOMES[name]}"), name)
    if not name.startswith("_") and find_spec(f"dacbn.{name}") is not None:
        return import_module(f"dacbn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES, "__version__"]
