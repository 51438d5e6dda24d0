"""What bench_inference.py measures."""
