"""Contenders of ``bench_queue``: our queue and procrastinate's, each in a database of its own on one server."""
