"""Our Application Entity: every door, in and out."""
