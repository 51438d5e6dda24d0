"""Trying a destination: the self-test that is sent to it, and what its answers mean."""
