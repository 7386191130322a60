"""Plots that can be touched: points to zoom into, with a picture of each where the pointer is.

They are drawn by Bokeh, whose script is written once into the page.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dacbn.plain_text import plain

SIZE = 360  # pixels of a plot, at most high
MARKERS = ("circle", "triangle", "square", "diamond", "inverted_triangle", "plus", "hex", "star")
TIP = """
<div style="width: 150px; font: 12px sans-serif; overflow-wrap: anywhere">
<img src="@picture" alt="" width="96" height="96"
style="display: block; object-fit: contain; image-rendering: pixelated">
<b>@name</b><br>@said
</div>
"""


def library() -> str:
    """Return the script that plots need, to be written once into a page.

    Raises:
        ModuleNotFoundError: Bokeh is not installed.
    """
    _check()
    from bokeh.resources import Resources

    resources = Resources(mode="inline", components=["bokeh"], log_level="error")
    return "".join(f"<script>{script}</script>" for script in resources.js_raw)


def draw_points(
    points: NDArray[Any],
    colours: Mapping[str, Sequence[str]],
    groups: Mapping[str, NDArray[np.int64]],
    columns: Mapping[str, Sequence[str]],
) -> str:
    """Draw points that show a picture and text where the pointer is.

    Args:
        points: (N, 2).
        colours: by the title of a plot, a colour for each point (N); the plots zoom together.
        groups: by a name in the legend, the rows of its points; a click hides them.
        columns: for each point (N) its "picture", an address, "name" and "said".

    Raises:
        ModuleNotFoundError: Bokeh is not installed.
    """
    _check()
    from bokeh.embed import components
    from bokeh.models import ColumnDataSource, HoverTool
    from bokeh.plotting import figure

    plots: list[Any] = []
    sources = {}
    for name, rows in groups.items():
        data: dict[str, Any] = {"x": points[rows, 0], "y": points[rows, 1]}
        data |= {field: [values[row] for row in rows] for field, values in columns.items()}
        data |= {
            f"colour{number}": [values[row] for row in rows]
            for number, values in enumerate(colours.values())
        }
        sources[name] = ColumnDataSource(data)
    for number, title in enumerate(colours):
        shared = {"x_range": plots[0].x_range, "y_range": plots[0].y_range} if plots else {}
        plot = figure(
            title=title,
            height=SIZE,
            sizing_mode="stretch_width",
            tools="pan,wheel_zoom,box_zoom,reset",
            active_scroll=None,  # the page scrolls; a click on the tool lets the wheel zoom
            toolbar_location="above",
            match_aspect=True,
            **shared,
        )
        plot.toolbar.logo = None
        plot.grid.visible = plot.axis.visible = False
        for (name, source), marker in zip(sources.items(), MARKERS * len(sources), strict=False):
            plot.scatter(
                "x",
                "y",
                source=source,
                marker=marker,
                size=6,
                alpha=0.75,
                line_color=None,
                fill_color=f"colour{number}",
                legend_label=name,
            )
        plot.legend.click_policy = "hide"
        plot.legend.ncols = 2  # of names of domains, which a phone has room for
        plot.legend.label_text_font_size = "11px"
        plot.add_layout(plot.legend[0], "below")
        plot.add_tools(HoverTool(tooltips=TIP, limit=1))
        plots.append(plot)
    script, places = components(tuple(plots))
    return f"<div class='plot'>{''.join(places)}</div>{script}"


def colour_key(title: str, colours: Mapping[str, str]) -> str:
    """Write a legend of colours by name, which wraps on narrow pages."""
    entries = "".join(
        f"<li><i style='background: {colour}'></i>{escape(plain(name))}</li>"
        for name, colour in colours.items()
    )
    return f"<ul class='key'><li>{escape(title)}:</li>{entries}</ul>"


def _check() -> None:
    try:
        import bokeh  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plots that can be touched need Bokeh: pip install 'dacbn[report]'", name="bokeh"
        ) from error
