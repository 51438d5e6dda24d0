"""The doors out: we call a destination (Service Class User)."""
