"""The recipes by name."""

from collections.abc import Callable

from dacbn.registry import Registry
from dacbn.training import TrainConfig

recipes: Registry[Callable[[], TrainConfig]] = Registry("recipe", "dacbn.recipes")
