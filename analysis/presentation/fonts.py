"""Fonts of this machine for characters that the usual font of figures lacks."""

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

# a font that comes with matplotlib and has every character, each of them a box
NO_FONT = "Last Resort"


def find_fallbacks(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Find families for the characters of a text that the usual font lacks.

    Returns:
        the families, as few as are found greedily, and the characters that none has.
    """
    usual = _characters(font_manager.findfont(font_manager.FontProperties()))
    missing = {each for each in text if each.isprintable() and ord(each) not in usual}
    families: list[str] = []
    while missing:
        counts = {
            family: sum(ord(each) in characters for each in missing)
            for family, characters in _families().items()
        }
        best = max(counts, key=counts.__getitem__, default="")
        if not counts.get(best):
            break
        families.append(best)
        missing = {each for each in missing if ord(each) not in _families()[best]}
    return tuple(families), frozenset(missing)


@lru_cache(maxsize=1)
def add_new_fonts() -> None:
    """Add what was installed lately: matplotlib keeps its list of fonts in a cache."""
    known = {Path(each.fname) for each in font_manager.fontManager.ttflist}
    for path in map(Path, font_manager.findSystemFonts()):
        if path not in known:
            with suppress(OSError, RuntimeError):  # no font that FreeType can read
                font_manager.fontManager.addfont(path)


@lru_cache(maxsize=1)
def _families() -> dict[str, frozenset[int]]:
    """Return the characters of each regular family."""
    add_new_fonts()
    found: dict[str, frozenset[int]] = {}
    for each in font_manager.fontManager.ttflist:
        regular = each.style == "normal" and each.weight in (400, "normal", "regular")
        if regular and not each.name.startswith(NO_FONT):
            with suppress(OSError, RuntimeError):  # removed since matplotlib listed it
                found[each.name] = found.get(each.name, frozenset()) | _characters(each.fname)
    return found


@lru_cache(maxsize=512)
def _characters(path: str) -> frozenset[int]:
    return frozenset(FT2Font(path).get_charmap())
