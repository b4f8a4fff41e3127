"""Benchmarks: their problems, how an attempt is scored, and what the scores mean."""
