"""What the evidence of a run or of several amounts to."""
