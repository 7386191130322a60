"""What a network predicts, and how well its confidence fits."""
