"""Which images there are, which belong together, and which may be learned from."""
