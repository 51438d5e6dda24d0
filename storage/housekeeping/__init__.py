"""When housekeeping wakes, and one duty per file for what it then does."""
