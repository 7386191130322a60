"""Looking inside: what a run did, as arrays (`compute_…`) and figures (`plot_…`, `draw_…`)."""

from dacbn.analysis.curves import compute_curves as compute_curves
from dacbn.analysis.curves import draw_curves as draw_curves
from dacbn.analysis.curves import plot_curves as plot_curves
from dacbn.analysis.views import compute_views as compute_views
from dacbn.analysis.views import draw_views as draw_views
from dacbn.analysis.views import plot_views as plot_views
