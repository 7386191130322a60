"""Steps on photographs are timed against BatchNorm and a tutorial's loop."""

import pytest

from dacbn.benchmarks import half_steps


@pytest.mark.slow
def test_each_row_has_times_ratios_and_memory(monkeypatch):
    monkeypatch.setattr(half_steps, "SIZE", 32)
    norm = "ucb_norm(num_clusters=2, assign='sample')"
    rows = half_steps.time_photograph_steps((norm,), images=4, rounds=1)
    assert rows["BatchNorm"]["ratio"] == 1
    assert rows[norm]["seconds"] > 0 and rows[norm]["peak_bytes"] > 0
    loops = half_steps.time_photograph_loops((norm,), images=4, rounds=1)
    assert [row["speed"] > 0 for row in loops.values()] == [True, True]
