#!/usr/bin/env bash
# A font that has every character is among those of matplotlib, and draws boxes.
#
# Whoever looks for a font that can show a text asks the fonts in fontManager.ttflist for their
# character maps. One of them, Last Resort High-Efficiency, which matplotlib brings along to have
# something to draw, maps each of the 1,114,112 code points, to a placeholder. It is found for any
# text, and no warning about missing glyphs follows, because it is named as a family like others.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "matplotlib==3.11.2"
MPLCONFIGDIR="$work/config" "$work/venv/bin/python" - <<'PYTHON'
import io
import warnings

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

print(f"matplotlib {matplotlib.__version__}")
last = next(each for each in font_manager.fontManager.ttflist if each.name.startswith("Last Resort"))
characters = FT2Font(last.fname).get_charmap()
print(f"{last.name}: {len(characters):,} characters, also unassigned ones: {0x30000 in characters}")


def warned(families):
    figure = Figure()
    figure.text(0.1, 0.5, "\u72ac", fontfamily=families)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        figure.savefig(io.BytesIO(), format="png")
    return [str(each.message) for each in found]


alone, together = warned(["DejaVu Sans"]), warned(["DejaVu Sans", last.name])
print(f"a character that DejaVu lacks: {alone}; with the font that has it: {together}")
assert len(characters) == 0x110000 and alone and not together, "this has changed"
PYTHON
