"""What the tests of analyses share."""

import pytest


@pytest.fixture(autouse=True)
def _coarse_figures(monkeypatch):
    """Draw few pixels, for time."""
    monkeypatch.setattr("dacbn.analysis.presentation.style.DPI", 50)
