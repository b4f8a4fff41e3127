"""Parts of `benchmarks/em_gpu.py`."""
