"""Recipes: complete settings of published results, and small versions that a CPU finishes.

Each docstring lists the command, the time, the published accuracy, and the differences.
"""

from dacbn.recipes import (  # noqa: F401  # importing them registers them
    digits_adamatch,
    digits_dann,
    digits_shot,
    office31_dann,
)
from dacbn.recipes.recipe_registry import recipes as recipes
