"""What a trained network is worth, how sure that is, and how it looks."""
