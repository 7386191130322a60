"""What the clusters of each mixture layer hold."""
