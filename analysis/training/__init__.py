"""How a training went: curves and gradients."""
