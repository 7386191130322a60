"""Comparisons of norms, methods and seeds, with controls, statistics and tables."""

from dacbn.comparison.controls import controls_of as controls_of
from dacbn.comparison.grid import Cell as Cell
from dacbn.comparison.grid import Variant as Variant
from dacbn.comparison.grid import choose_variants as choose_variants
from dacbn.comparison.grid import make_grid as make_grid
from dacbn.comparison.leave_one_out import run_leave_one_out as run_leave_one_out
from dacbn.comparison.plan import Plan as Plan
from dacbn.comparison.plan import Shard as Shard
from dacbn.comparison.results import Result as Result
from dacbn.comparison.run_comparison import run_comparison as run_comparison
