"""What bench_loading.py measures."""
