"""The course of a training: curves and gradients."""
