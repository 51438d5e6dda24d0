"""Fault runs: what was acknowledged is proved to be there, whatever was killed, filled, failed or cut off meanwhile."""
