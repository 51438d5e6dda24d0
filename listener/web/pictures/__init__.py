"""Decoding what others encoded, in a process that we can lose."""
