"""Controls: layers and ids that a claim about clusters must beat."""
