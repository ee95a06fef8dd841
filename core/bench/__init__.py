"""Benchmarks of the core."""
