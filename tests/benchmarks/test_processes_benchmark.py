"""The benchmark of processes measures what it says; how fast anything is, no test asserts."""

import pytest

from dacbn.benchmarks import benchmark_processes


@pytest.mark.slow
def test_each_candidate_has_a_row():
    rows = benchmark_processes([None], [("digits_cnn", 16)], batch_size=3, rounds=1)
    assert [row["candidate"] for row in rows] == [
        "one process of 2 threads",
        "2 processes of one thread",
        "2 processes of one thread, averaging gradients only",
        "2 processes of one thread, averaging gradients only, again",
        "2 processes of one thread, again",
    ]
    assert rows[0]["ratio"] == rows[3]["ratio"] == 1
    assert all(row["images_per_second"] == pytest.approx(6 / row["seconds"]) for row in rows)
