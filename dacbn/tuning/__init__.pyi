from .results import TunedTrial as TunedTrial
from .results import Tuning as Tuning
from .search import tune as tune
