"""Rows: PostgreSQL behind the ports."""
