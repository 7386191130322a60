"""Names of classes and folders in figures: they may hold what fonts, markup or files cannot."""

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator

from dacbn.plain_text import plain

OWN = r"\mathdefault"  # in numbers that matplotlib itself writes as formulas


def make_plain(figure: Figure) -> None:
    """Show all text of a figure as it is written, without control characters and formulas."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                names = axis.get_major_formatter().format_ticks(list(axis.get_majorticklocs()))
                literal = list(map(_literal, names))
                if literal != names:
                    axis.set_major_formatter(FixedFormatter(literal))
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(_literal(text.get_text()))


def _literal(text: str) -> str:
    return text if OWN in text else plain(text).replace(r"\$", "$").replace("$", r"\$")
