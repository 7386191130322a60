"""The section of a stream: its figure, its table, and what it says."""

import numpy as np
import pytest

from dacbn.analysis.streams.path import draw_stream_path
from dacbn.streams import LayerPath, StreamPath


@pytest.fixture
def path():
    steps = np.linspace(0, 1, 6)
    parts = np.stack([1 - steps, 0.5 + steps], 1)
    plain = LayerPath(steps, parts, np.array([1.0, 2.0]), None)
    mixed = plain._replace(shares=np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]))
    part = np.array([0, 0, 0, 1, 1, 1])
    return StreamPath(np.arange(1, 7) * 10, part, ("fog", "snow"), {"a.0": plain, "a.1": mixed})


def test_the_section_shows_where_statistics_went(path, tmp_path):
    section = draw_stream_path(path, tmp_path)
    assert section.figures[0].exists() and len(section.findings) == 2
    assert section.findings[0].startswith("a.0: at the end its statistics are 1.00 standard")
    assert "1.50 from the last part, snow; fog is nearest." in section.findings[0]
    assert section.findings[1].endswith("2 of 3 components took more than an even share.")
    rows = section.tables["Distance of the statistics at the end of the stream"]
    assert rows[0] == {"layer": "a.0", "source": 1.0, "fog": 0.0, "snow": 1.5}
    rows = section.tables["Share of each part that each component took"]
    assert rows[1] == {"layer": "a.1", "part": "snow", "0": 0.2, "1": 0.8, "2": 0.0}
    arrays = section.arrays["stream_path"]
    np.testing.assert_array_equal(arrays["a.1/shares"], path.layers["a.1"].shares)


def test_of_a_mixed_stream_no_part_is_the_last(path, tmp_path):
    section = draw_stream_path(path._replace(part=np.full(6, -1)), tmp_path)
    assert section.findings[0].endswith("1.00 standard deviations from the source; fog is nearest.")


def test_without_statistics_there_is_nothing_to_draw(path, tmp_path):
    with pytest.raises(ValueError, match="no layer of the network keeps statistics"):
        draw_stream_path(path._replace(layers={}), tmp_path)
