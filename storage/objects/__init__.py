"""Bytes: the spool, the received instances and the frozen evidence, durable on disk."""
