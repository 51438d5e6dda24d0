"""Destinations that are reached over the web: STOW-RS and what goes with it (PS3.18)."""
