"""What bench_job_overhead.py measures."""
