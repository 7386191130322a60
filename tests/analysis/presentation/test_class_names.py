"""Names along an axis never cover each other, nor are they cut by the figure."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dacbn.analysis.presentation.class_names import LETTERS, name_classes, shorten

ORDINARY = ["bird", "flower", "fruit", "mammal", "tool", "vegetable"]


def boxes(classes, along, width=7.2, panels=2):
    figure = Figure(figsize=(width, 3.4), layout="constrained")
    canvas, all_axes = FigureCanvasAgg(figure), figure.subplots(1, panels, squeeze=False)[0]
    for axes in all_axes:
        axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(-0.5, len(classes) - 0.5))
        name_classes(classes, axes, along)
    canvas.draw()
    found = [
        label.get_window_extent()
        for axes in all_axes
        for label in (axes.get_xticklabels() if along == "x" else axes.get_yticklabels())
        if label.get_text()
    ]
    return figure.bbox, found


@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("count", [2, 6, 12, 31, 40])
def test_no_name_covers_another_or_is_cut(along, count):
    for classes in (
        [f"a name of {'many ' * 4}letters {n}" for n in range(count)],
        (ORDINARY * 7)[:count],
        [str(n) for n in range(count)],
    ):
        whole, found = boxes(classes, along)
        assert len(found) >= count / 2
        for number, box in enumerate(found):
            assert box.x0 >= whole.x0 - 1 and box.y0 >= whole.y0 - 1 and box.x1 <= whole.x1 + 1
            assert not any(box.overlaps(other) for other in found[number + 1 :]), classes[0]


def test_long_names_keep_their_beginning_and_end():
    assert shorten("Alarm clock, analogue, left") == "Alarm cloc…e, left"
    assert len(shorten("x" * 99)) == LETTERS and shorten("pen\x1b") == "pen\\x1b"
