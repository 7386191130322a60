"""Clusters of each mixture layer: how much each is used, by which domains and classes."""
