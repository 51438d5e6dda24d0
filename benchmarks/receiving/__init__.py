"""The parts of ``benchmarks/bench_receive.py``: receivers, loads and figures."""
