"""Controls: what a claim about clusters must beat."""
