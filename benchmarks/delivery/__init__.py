"""What bench_delivery.py measures."""
