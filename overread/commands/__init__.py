"""One module per sub-command; each imports what it needs and nothing more."""
