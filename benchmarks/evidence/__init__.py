"""What bench_evidence.py measures."""
