"""Properties of the network around a layer: its graph, moments and gradients."""
