"""Read a run, and record the activations of its network on images of its domains."""
