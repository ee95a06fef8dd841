"""Benchmarks and load tests of the page."""
