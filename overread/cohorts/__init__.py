"""Running an algorithm over studies of the past, and the table that it ends in."""
