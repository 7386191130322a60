"""Mixtures of layers: compared with scikit-learn's, and their movement during training."""
