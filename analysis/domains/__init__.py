"""Differences between the domains, in activations, features and images."""
