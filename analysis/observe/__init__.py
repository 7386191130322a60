"""Recording what a network computes on images of its domains."""
