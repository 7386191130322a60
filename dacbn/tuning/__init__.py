"""A search of settings for a target without labels."""

from dacbn.tuning.results import TunedTrial as TunedTrial
from dacbn.tuning.results import Tuning as Tuning
from dacbn.tuning.search import tune as tune
