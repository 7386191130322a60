"""A path is read back from the arrays behind its figure, and told in numbers and words."""

import numpy as np
import pytest

from dacbn.analysis.streams.followed import EACH, PARTS, SOURCE, USED, followed, takers
from dacbn.analysis.streams.path import describe, distances
from dacbn.analysis.streams.saved_path import arrays_of, read_path
from dacbn.streams import LayerPath, StreamPath


@pytest.fixture
def path():
    plain = LayerPath(
        np.array([0.0, 0.25, 0.5, 1.0]),
        np.array([[1.0, 2.0], [0.125, 2.5], [0.5, 1.0], [2.0, 0.375]]),
        np.array([1.0, 2.0]),
        None,
    )
    mixed = plain._replace(shares=np.array([[0.9, 0.1, 0.0], [0.3, 0.6, 0.1]]))
    part = np.array([0, 0, 1, 1])
    return StreamPath(np.arange(1, 5) * 8, part, ("fog", "snow/2"), {"a.0": plain, "a.1": mixed})


def test_it_is_read_as_it_was(path, tmp_path):
    np.savez(tmp_path / "stream_path.npz", **arrays_of(path))
    read = read_path(tmp_path / "stream_path.npz")
    assert read.parts == path.parts and [*read.layers] == ["a.0", "a.1"]
    np.testing.assert_array_equal(read.images, path.images)
    np.testing.assert_array_equal(read.part, path.part)
    assert read.layers["a.0"].shares is None
    for name, layer in path.layers.items():
        for field, value in layer._asdict().items():
            if value is not None:
                np.testing.assert_array_equal(getattr(read.layers[name], field), value)


def test_statistics_are_compared_with_each_part_at_its_end(path):
    row = followed(path)
    assert (row[PARTS], row[SOURCE], row[EACH]) == (1.5, 1.0, (0.125 + 0.375) / 2)
    assert row[USED] == "2.0 of 3"
    at_once = followed(path._replace(part=np.full(4, -1)))
    assert at_once[EACH] == "" and at_once[SOURCE] == 1.0


def test_each_part_is_given_to_the_component_that_took_most_of_it(path):
    said = takers(path, [*path.layers])
    assert said == (
        "a.1: the largest shares: component 0 of fog (90 %), component 1 of snow/2 (60 %).",
    )
    both = path.layers["a.1"]._replace(shares=np.array([[0.2, 0.8], [0.3, 0.7]]))
    (said,) = takers(path._replace(layers={"b": both}), ["b"])
    assert said == "b: the largest shares: component 1 of fog (80 %) and snow/2 (70 %)."


def test_a_part_called_source_is_no_distance_to_the_source(path):
    path = path._replace(parts=("source", "layer"))
    rows = distances(path, ["a.0"])
    assert rows == [{"layer": "a.0", "source": 1.0, "part source": 2.0, "part layer": 0.375}]
    assert "part layer is nearest" in describe(path)[0]
    assert "of part source (90 %)" in takers(path, ["a.1"])[0]
