"""Decoding what others encoded, in processes that we can lose."""
