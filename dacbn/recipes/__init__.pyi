from . import digits_adamatch as digits_adamatch
from . import digits_dann as digits_dann
from . import digits_shot as digits_shot
from . import office31_dann as office31_dann
from .recipe_registry import recipes as recipes
