"""Intervals and sentences of streams whose seeds share images, and of names that are columns."""

import math

import numpy as np
import pytest
from scipy import stats

from dacbn.commands.stream_figure import draw_errors
from dacbn.commands.stream_findings import difference, findings, opening
from dacbn.commands.stream_intervals import is_clear
from dacbn.commands.stream_parts import StreamSettings, different_images, shared_images
from dacbn.commands.stream_tables import error_of, errors_by_part, table_of_parts


def rows_of(norm, *wrong, images=200, curve=40, protocol="iid", parts=("fog", "snow"), **more):
    """Make a row for each seed, of as many wrong answers."""
    shared = {"protocol": protocol, "batch_size": 8, "norm": norm, "method": None}
    shared |= {"images": images, "classes": 10, "last_tenth": 0.25, **more}
    return [
        {
            **shared,
            "seed": seed,
            "error": count / images,
            "parts": dict.fromkeys(parts, count / images),
            "curve": [count / images] * curve,
        }
        for seed, count in enumerate(wrong)
    ]


def wilson(wrong, images):
    return stats.binomtest(wrong, images).proportion_ci(method="wilson")


def newcombe(first, second, images):
    """Compute the interval of a difference in points, from Wilson's intervals by scipy."""
    one, two = wilson(first, images), wilson(second, images)
    first, second = first / images, second / images
    low = first - second - math.hypot(first - one.low, two.high - second)
    high = first - second + math.hypot(one.high - first, second - two.low)
    return pytest.approx((100 * low, 100 * high))


SHARED = {"shared": {"phone": 360}, "different": 200}


def test_no_interval_of_shared_images_is_narrower_than_that_by_images():
    ours, theirs = rows_of("a", 90, 90, 90, **SHARED), rows_of("b", 66, 65, 67, **SHARED)
    assert difference(ours, theirs)[1] == newcombe(90, 66, 200)
    low, high = wilson(90, 200)
    assert error_of(ours) == f"45.0 ({100 * low:.1f} to {100 * high:.1f})"
    wide = rows_of("b", 20, 60, 118, **SHARED)
    found = stats.ttest_rel([45] * 3, [10, 30, 59]).confidence_interval(0.95)
    assert difference(ours, wide)[1] == pytest.approx((found.low, found.high))
    assert "±" in error_of(wide)


def test_a_difference_without_width_is_never_clear():
    ours, theirs = rows_of("a", 91, 92), rows_of("b", 90, 91)
    assert not is_clear(difference(ours, theirs))
    said = findings([*ours, *theirs])[0]
    assert said.endswith("1 of 1 other cannot be told apart from it.")
    for row in [*ours, *theirs]:
        del row["images"], row["classes"]
    assert not is_clear(difference(ours, theirs))
    assert not is_clear((5.0, (5.0, 5.0)))


def test_images_that_come_several_times_count_once():
    ours, theirs = rows_of("a", 480, images=960, different=60), rows_of("b", 320, images=960)
    low, high = wilson(30, 60)
    assert error_of(ours) == f"50.0 ({100 * low:.1f} to {100 * high:.1f})"
    assert difference(ours, theirs)[1] == newcombe(30, 20, 60)
    assert "a stream has 60 different ones" in opening("m", ours)[2]
    assert "960 images, 60 different ones; by chance 90.0." in table_of_parts(ours)


def test_shared_images_are_said():
    rows = rows_of("a", 90, 90, **SHARED)
    assert "Seeds share most or all images of phone (360 images)" in opening("m", rows)[2]
    assert len(opening("m", rows_of("a", 90, 90))) == 2


def test_different_images_are_those_that_are_drawn():
    settings = StreamSettings(("a", "b"), ("noisy", "faded"), (1, 2), images=30)
    found = different_images({"a": 30, "b": 1000}, settings, 3)
    draws = [np.random.default_rng([3, part]).permutation(1000)[:30] for part in range(4, 8)]
    assert found == 30 + len(np.unique(draws))
    assert shared_images({"a": 59, "b": 60}, settings) == {"a": 59}


def test_those_with_the_same_error_share_the_least():
    rows = [row for name in ("a", "source", "b", "c") for row in rows_of(name, 50)]
    said = findings([*rows, *rows_of("d", 51)])[0]
    assert said.startswith("iid 8: a, source and 2 others share the least error, 25.0 (")
    assert said.endswith("%. 1 of 1 other cannot be told apart from them.")
    assert findings(rows[:2])[0].startswith("iid 8: a and source share the least error")
    assert opening("m", rows)[-1].endswith("more than chance; in 1 nothing is better.")


def test_no_zero_has_a_sign():
    for wrong in range(51, 90):
        said = findings([*rows_of("source", wrong), *rows_of("b", 50)])[0]
        assert "-0.0" not in said


def test_parts_are_named_apart_from_the_columns():
    rows = rows_of("a", 50, parts=("norm", "last tenth", "fog"))
    (line,) = errors_by_part({"a": rows})
    assert line == {"norm": "a", "part norm": 25, "part last tenth": 25, "fog": 25} | {
        "last tenth": 25
    }
    rows = rows_of("a", 50, parts=("stream",))
    assert "part stream" in table_of_parts(rows) and "means" not in table_of_parts(rows)
    assert "part, means over seeds." in table_of_parts(rows_of("a", 50, 60))


@pytest.fixture
def draw(tmp_path, monkeypatch):
    def drawn(rows):
        kept = []
        monkeypatch.setattr(
            "dacbn.analysis.presentation.style.save_figure",
            lambda figure, stem, arrays, caption: kept.extend([figure, caption]) or [stem],
        )
        draw_errors(rows, tmp_path / "errors")
        return kept

    return drawn


def test_stretches_of_few_images_are_where_they_are(draw):
    order = np.arange(50)  # 40 stretches: ten of two images, then thirty of one
    middles = [each.mean() + 0.5 for each in np.array_split(order, 40)]
    figure, caption = draw(rows_of("a", 10, images=50, part_images={"fog": 20, "snow": 30}))
    curve, mark = figure.axes[0].lines
    assert curve.get_xdata() == pytest.approx(100 * np.array(middles) / 50)
    assert list(mark.get_xdata()) == [40, 40] and "grey lines are between parts" in caption
    rows = rows_of("a", 10, images=50)
    del rows[0]["images"], rows[0]["classes"]
    assert draw(rows)[0].axes[0].lines[0].get_xdata()[0] == pytest.approx(1.25)


def test_the_caption_says_what_is_drawn(draw):
    names = [f"norm{place}" for place in range(9)]
    rows = [row for name in names for row in rows_of(name, 50, protocol="mixed")]
    caption = draw(rows)[1]
    assert "Of 9 norms and methods are drawn those with the least errors in each" in caption
    assert "grey" not in caption
    assert "grey" not in draw(rows_of("a", 50, parts=("fog",)))[1]
