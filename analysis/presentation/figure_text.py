"""Names of classes and folders in figures: they may hold what fonts, markup or files cannot."""

import re
from collections.abc import Iterator

from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator

from dacbn.analysis.presentation.fonts import find_fallbacks
from dacbn.plain_text import plain

OWN = r"\mathdefault"  # in numbers that matplotlib itself writes as formulas


def make_plain(figure: Figure) -> dict[str, str]:
    """Show all text of a figure as it is written, without control characters and formulas.

    Characters that its font lacks come from other fonts of this machine. A word with one that none
    of them has is written as a number.

    Returns:
        the words by such numbers.
    """
    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    ticks = {
        axis: axis.get_major_formatter().format_ticks(list(axis.get_majorticklocs()))
        for axis in axes
        if isinstance(axis.get_major_locator(), FixedLocator)
    }
    texts = list(_find_texts(figure))
    written = [each.get_text() for each in texts]
    written += [name for names in ticks.values() for name in names]
    families, missing = find_fallbacks("".join(map(plain, written)))
    numbers: dict[str, str] = {}
    for axis, names in ticks.items():
        literal = [_literal(name, missing, numbers) for name in names]
        if literal != names:
            axis.set_major_formatter(FixedFormatter(literal))
    for axis in axes if families else ():
        axis.set_tick_params(which="both", labelfontfamily=[*rcParams["font.family"], *families])
    for text in texts:
        text.set_text(_literal(text.get_text(), missing, numbers))
        if families:
            text.set_fontfamily([*text.get_fontfamily(), *families])
    return {number: word for word, number in numbers.items()}


def _find_texts(artist: Artist) -> Iterator[Text]:
    """Yield the text of a figure but that of ticks, which are made only when they are drawn."""
    if isinstance(artist, Text):
        yield artist
    parts = (artist.label, artist.offsetText) if isinstance(artist, Axis) else artist.get_children()
    for part in parts:
        yield from _find_texts(part)


def _literal(text: str, missing: frozenset[str], numbers: dict[str, str]) -> str:
    """Write a text literally, words with missing characters as numbers, which are collected."""
    if OWN in text:
        return text

    def number(word: re.Match[str]) -> str:
        found = word[0]
        return numbers.setdefault(found, f"#{len(numbers) + 1}") if missing & {*found} else found

    shown = plain(text).replace(r"\$", "$").replace("$", r"\$")
    return re.sub(r"\S+", number, shown) if missing else shown
