"""Read a run, and record what its network computes on images of its domains."""
