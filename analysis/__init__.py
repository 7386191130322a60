"""Looking inside: what a run did, as arrays (`compute_…`) and figures (`plot_…`, `draw_…`)."""

from dacbn.analysis.curves import compute_curves as compute_curves
from dacbn.analysis.curves import draw_curves as draw_curves
from dacbn.analysis.curves import plot_curves as plot_curves
