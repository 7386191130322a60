"""What is said of streams: the least errors, and what cannot be told apart from them."""

import math

import pytest
from scipy import stats

from dacbn.commands.stream_figure import chosen_lines, draw_errors
from dacbn.commands.stream_findings import difference, findings, opening

BATCH = "prediction_time_batch_norm"


def rows_of(norm, *wrong, protocol="mixed", method=None, images=200, parts=("fog", "snow")):
    """Make a row for each seed, of as many wrong answers."""
    shared = {"protocol": protocol, "batch_size": 8, "norm": norm, "method": method}
    shared |= {"images": images, "classes": 10, "last_tenth": 0.5}
    return [
        {
            **shared,
            "seed": seed,
            "error": count / images,
            "parts": dict.fromkeys(parts, count / images),
            "curve": [count / images] * 40,
        }
        for seed, count in enumerate(wrong)
    ]


def newcombe(first, second, images=200):
    """Compute the interval of a difference in points, from Wilson's intervals by scipy."""
    one, two = (
        stats.binomtest(each, images).proportion_ci(method="wilson") for each in (first, second)
    )
    first, second = first / images, second / images
    low = first - second - math.hypot(first - one.low, two.high - second)
    high = first - second + math.hypot(one.high - first, second - two.low)
    return 100 * low, 100 * high


def test_the_difference_of_one_seed_is_newcombes():
    mean, interval = difference(rows_of("a", 90), rows_of("b", 60))
    assert mean == pytest.approx(15) and interval == pytest.approx(newcombe(90, 60))


def test_the_difference_of_several_seeds_is_students():
    ours, theirs = [0.45, 0.4, 0.475], [0.3, 0.325, 0.375]
    found = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    mean, interval = difference(rows_of("a", 90, 80, 95), rows_of("b", 60, 65, 75))
    assert mean == pytest.approx(100 * (sum(ours) - sum(theirs)) / 3)
    assert interval == pytest.approx((100 * found.low, 100 * found.high))


def test_what_may_be_chance_is_said():
    rows = [*rows_of("source", 90), *rows_of(BATCH, 62), *rows_of("unmix_norm", 60, method="lame")]
    said, about = findings(rows)
    assert said.startswith("mixed 8: unmix_norm + lame has the least error, 30.0 (24.1 to 36.7) %.")
    clear, chance = ("{:.1f} to {:.1f}".format(*newcombe(wrong, 60)) for wrong in (90, 62))
    assert f"The source: 45.0 (38.3 to 51.9) %, 15.0 points more ({clear}). " in said
    assert f"1.0 points more ({chance}), which may be chance." in said
    assert said.endswith("1 of 2 others cannot be told apart from it.")
    assert "holds 0" in about
    what, tried, source, batch = opening("runs/m", rows)
    assert what == "The trained run runs/m answered streams of 200 images in 2 parts: fog, snow."
    assert tried.startswith("3 pairs of norm and method answered 1 stream ")
    assert source == "In 1 of 1 stream the best errs less than the source, by more than chance."
    assert batch.startswith("In 0 of 1 ") and batch.endswith("in 1 the difference may be chance.")


def test_nothing_is_better_than_a_source_that_errs_least():
    rows = [*rows_of("source", 40, 50), *rows_of("unmix_norm", 80, 90)]
    assert findings(rows)[0].startswith(
        "mixed 8: source has the least error, 22.5 ± 31.8 %. 0 of 1"
    )
    assert opening("m", rows)[-1].endswith("more than chance; in 1 nothing is better.")
    assert len(opening("m", rows_of("source", 40))) == 2  # nothing to compare


def test_rows_of_older_versions_have_no_interval():
    rows = [*rows_of("source", 90), *rows_of("unmix_norm", 60)]
    for row in rows:
        del row["images"], row["classes"]
    assert "The source: 45.0 %, 15.0 points more, which may be chance." in findings(rows)[0]


@pytest.fixture
def many():
    norms = [f"stream_ucb_norm(num_clusters={k}, rate=0.3, spread=0.01)" for k in range(2, 14)]
    names = ["source", *norms, BATCH]
    mixed = [rows_of(name, 50 + place) for place, name in enumerate(names)]
    mixed[0], mixed[-1] = rows_of("source", 150), rows_of(BATCH, 160)
    single = [rows_of(name, 90 - at, protocol="correlated") for at, name in enumerate(names)]
    rows = [row for each in [*mixed, *single] for row in each]
    for row in rows:
        row["part_images"] = {"fog": 150, "snow": 50}
    return rows


def test_references_and_the_best_of_each_stream_are_drawn(many):
    chosen = chosen_lines(many)
    assert len(chosen) == 8 and {"source", BATCH} <= {*chosen}
    for clusters in (2, 3, 4, 11, 12, 13):  # three of each stream
        assert any(f"={clusters}," in name for name in chosen)
    few = rows_of("source", 1) + rows_of("unmix_norm", 2)
    assert chosen_lines(few) == ["source", "unmix_norm"]


def test_the_figure_marks_parts_by_their_size_and_nothing_overlaps(many, tmp_path, monkeypatch):
    drawn = []

    def keep(figure, stem, arrays, caption):
        drawn.extend([figure, arrays, caption])
        return [stem]

    monkeypatch.setattr("dacbn.analysis.presentation.style.save_figure", keep)
    draw_errors(many, tmp_path / "errors")
    figure, arrays, caption = drawn
    assert (
        len(arrays) == 28
        and f"Of 14 norms and methods are drawn: source, {BATCH} and those" in caption
    )
    figure.draw_without_rendering()
    mixed, correlated = figure.axes
    assert len(mixed.lines) == 8 and len(correlated.lines) == 9
    assert list(correlated.lines[-1].get_xdata()) == [75, 75]  # 150 of 200 images
    assert [text.get_text() for text in correlated.texts] == ["fog", "snow"]
    (legend,) = (each.get_window_extent() for each in figure.legends)
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1 and legend.y0 >= 0
    assert not any(legend.overlaps(box) for box in boxes) and not boxes[0].overlaps(boxes[1])
