"""Draw a figure as PNG and SVG, once each, with one layout.

`Figure.savefig` draws twice, the first time without a result, for options that are not used here.
This file imports no torch, because another process may run it.
"""

import io

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from dacbn.analysis.presentation.fonts import add_new_fonts


def draw(figure: Figure, title: str, caption: str, dpi: int) -> tuple[bytes, bytes]:
    """Return a figure as PNG and as SVG, with a title and a caption that describe it."""
    about = {"Title": title, "Description": caption}
    png, svg = io.BytesIO(), io.BytesIO()
    figure.set_dpi(dpi)
    if any(len(each.get_fontfamily()) > 1 for each in figure.findobj(Text)):
        add_new_fonts()
    FigureCanvasAgg(figure).print_png(png, metadata=about)  # type: ignore[no-untyped-call]
    figure.set_layout_engine("none")  # the SVG has the layout of the PNG: finding one takes as long
    # equal figures give equal files: no date, and no random ids
    with matplotlib.rc_context({"svg.hashsalt": title}):
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(svg, metadata={**about, "Date": None})  # type: ignore[no-untyped-call]
    return png.getvalue(), svg.getvalue()
