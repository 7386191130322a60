"""A layer's mixture: its fit beside scikit-learn's, and its movement in training."""
