"""The verdict on a run, and the comparison of several."""
