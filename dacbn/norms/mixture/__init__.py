"""Gaussian mixtures of activations: their state, and normalisation by them."""
