"""Asking archives what they have, and getting it (Query/Retrieve as user: PS3.4 annex C, PS3.18 section 10)."""
